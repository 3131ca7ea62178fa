package owner

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"tachograph/replay"
	"tachograph/runner"
	"tachograph/schemas/journal"
)

// Client is the other commands' side: a Journal and an Operator at a distance.
type Client struct {
	File File
	http *http.Client
}

// ErrNoOwner means that no process owns the directory: the caller may open it itself.
var ErrNoOwner = errors.New("no process owns the data directory")

// cause is an error of the file system without the path, which the caller has named in the user's words.
func cause(err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// Dial finds the living owner of a data directory.
func Dial(ctx context.Context, data string) (*Client, error) {
	text, err := os.ReadFile(filepath.Join(data, fileName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNoOwner
	}
	if err != nil {
		return nil, fmt.Errorf("open data directory %s: %w; choose a directory of yours with --data", data, cause(err))
	}
	c := &Client{http: &http.Client{Transport: &http.Transport{DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, data) }}}}
	if err := json.Unmarshal(text, &c.File); err != nil {
		return nil, fmt.Errorf("read %s: %w", fileName, err)
	}
	// An answer, and not only a connection: a child that was just being started when its owner was killed holds the
	// socket, and so takes connections, until it becomes another program.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://owner/owner/alive", nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, ErrNoOwner // it died and left its file behind
	}
	return c, response.Body.Close()
}

func dial(ctx context.Context, data string) (net.Conn, error) {
	address, release, err := socketAddress(data)
	if err != nil {
		return nil, err
	}
	defer release()
	var d net.Dialer
	return d.DialContext(ctx, "unix", address)
}

// Close releases idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://owner"+path, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the owner (process %d): %w", c.File.PID, err)
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		return nil, readProblem(response)
	}
	return response, nil
}

func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	response, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

func (c *Client) bytes(ctx context.Context, path string) ([]byte, error) {
	response, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

func runPath(run journal.RunID, rest string) string { return "/owner/runs/" + run.String() + rest }

// Runs implements replay.Source, as do the methods after it.
func (c *Client) Runs(ctx context.Context) (runs []replay.Run, err error) {
	err = c.call(ctx, http.MethodGet, "/owner/runs", nil, &runs)
	return runs, err
}

// Run is one of them.
func (c *Client) Run(ctx context.Context, run journal.RunID) (found replay.Run, err error) {
	err = c.call(ctx, http.MethodGet, runPath(run, ""), nil, &found)
	return found, err
}

func (c *Client) Entries(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error] {
	return c.lines(ctx, runPath(run, fmt.Sprintf("/entries?from=%d", from)))
}

// Follow goes on with new entries until ctx ends or the run has ended.
func (c *Client) Follow(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error] {
	return c.lines(ctx, runPath(run, fmt.Sprintf("/entries?follow=1&from=%d", from)))
}

func (c *Client) lines(ctx context.Context, path string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		response, err := c.do(ctx, http.MethodGet, path, nil)
		if err != nil {
			yield(nil, err)
			return
		}
		defer response.Body.Close()
		scan := bufio.NewScanner(response.Body)
		scan.Buffer(make([]byte, 64<<10), journal.MaxEntry+1)
		for scan.Scan() {
			if !yield(bytes.Clone(scan.Bytes()), nil) {
				return
			}
		}
		if err := scan.Err(); err != nil {
			yield(nil, fmt.Errorf("read entries: %w", err))
		}
	}
}

func (c *Client) Heads(ctx context.Context, run journal.RunID) (heads [][]byte, err error) {
	err = c.call(ctx, http.MethodGet, runPath(run, "/heads"), nil, &heads)
	return heads, err
}

func (c *Client) Salt(ctx context.Context, run journal.RunID) (salt journal.Salt, err error) {
	b, err := c.bytes(ctx, runPath(run, "/salt"))
	if err == nil && copy(salt[:], b) != len(salt) {
		err = errors.New("the owner sent a salt of another length")
	}
	return salt, err
}

func (c *Client) Content(ctx context.Context, run journal.RunID, ref journal.Ref) ([]byte, error) {
	return c.bytes(ctx, runPath(run, "/content/"+ref.String()))
}

func (c *Client) Object(ctx context.Context, run journal.RunID, name journal.Object) ([]byte, error) {
	return c.bytes(ctx, runPath(run, "/objects/"+name.String()))
}

func (c *Client) Checkpoint(ctx context.Context, run journal.RunID, seq int64) (cp replay.Checkpoint, err error) {
	err = c.call(ctx, http.MethodGet, runPath(run, fmt.Sprintf("/checkpoint?seq=%d", seq)), nil, &cp)
	return cp, err
}

func (c *Client) Chunks(ctx context.Context, run journal.RunID, names []journal.Hash) ([][]byte, error) {
	texts := make([][]byte, len(names))
	for i, name := range names {
		var err error
		if texts[i], err = c.bytes(ctx, runPath(run, "/chunks/"+name.String())); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// Live calls see for what happens between entries, until ctx ends or the owner closes.
func (c *Client) Live(ctx context.Context, run journal.RunID, see func(runner.Live)) error {
	response, err := c.do(ctx, http.MethodGet, "/owner/live?run="+run.String(), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	dec := json.NewDecoder(response.Body)
	for {
		var l runner.Live
		if err := dec.Decode(&l); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch: %w", err)
		}
		see(l)
	}
}

// Start implements Operator, as do the methods after it.
func (c *Client) Start(ctx context.Context, spec runner.Spec) (journal.RunID, error) {
	var answer started
	err := c.call(ctx, http.MethodPost, "/owner/runs", spec, &answer)
	return answer.RunID, err
}

func (c *Client) Fork(ctx context.Context, run journal.RunID, seq int64, change runner.Change) (journal.RunID, error) {
	var answer started
	err := c.call(ctx, http.MethodPost, runPath(run, "/fork"), forkRequest{seq, change}, &answer)
	return answer.RunID, err
}

func (c *Client) Pause(ctx context.Context, run journal.RunID, by string) error {
	return c.call(ctx, http.MethodPost, runPath(run, "/pause"), steerRequest{By: by}, nil)
}

func (c *Client) Resume(ctx context.Context, run journal.RunID, by string) error {
	return c.call(ctx, http.MethodPost, runPath(run, "/resume"), steerRequest{By: by}, nil)
}

func (c *Client) Stop(ctx context.Context, run journal.RunID, by string, now bool) error {
	return c.call(ctx, http.MethodPost, runPath(run, "/stop"), steerRequest{By: by, Now: now}, nil)
}

func (c *Client) Approve(ctx context.Context, run journal.RunID, call int64, by, reason string) error {
	return c.call(ctx, http.MethodPost, runPath(run, fmt.Sprintf("/approvals/%d", call)), approvalRequest{by, "approve", reason}, nil)
}

func (c *Client) Deny(ctx context.Context, run journal.RunID, call int64, by, reason string) error {
	return c.call(ctx, http.MethodPost, runPath(run, fmt.Sprintf("/approvals/%d", call)), approvalRequest{by, "deny", reason}, nil)
}

func (c *Client) Remove(ctx context.Context, family journal.RunID) error {
	return c.call(ctx, http.MethodDelete, "/owner/families/"+family.String(), nil, nil)
}

func (c *Client) Ship(ctx context.Context, run journal.RunID) (at, of int64, err error) {
	var answer shipped
	err = c.call(ctx, http.MethodPost, runPath(run, "/ship"), struct{}{}, &answer)
	return answer.Shipped, answer.Total, err
}
