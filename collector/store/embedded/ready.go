package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// startLimit bounds the time from start to first answer. It takes 0.2 to 0.9 s, more after a crash with many parts.
	startLimit = 3 * time.Minute
	// readyEvery is how often an engine that starts is asked whether it answers.
	readyEvery = 20 * time.Millisecond
)

// lifelineRuns counts the SELECT that engineScript ends with.
const lifelineRuns = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT count() FROM file(%'"

// untilReady waits until the child answers the writer, who finds the database there. A local server must also have come to
// the lifeline: from then on `default`, who has no password, can do nothing more (see users.xml).
func (c *child) untilReady(ctx context.Context, a access, mode string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	// No connection is kept: the engine may be killed, and nobody closes this client.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		_, err := a.query(ctx, client, "CREATE DATABASE IF NOT EXISTS "+Database)
		if err == nil && mode == modeServer {
			return nil
		}
		if err == nil {
			var running string
			if running, err = a.query(ctx, client, lifelineRuns); running == "1" {
				return nil
			}
		}
		select {
		case <-c.done:
			return c.failure()
		case <-ctx.Done():
			return fmt.Errorf("wait for its first answer: %w: %w; it said: %s", ctx.Err(), err, c.said.String())
		case <-time.After(readyEvery):
		}
	}
}

// stopLimit bounds the wait for queries that are told to stop.
const stopLimit = time.Second

// stopQueries tells running queries to stop: the engine ends only after them. Nobody gets an acknowledgement for
// what is stopped. An engine that does not listen is ended all the same, so there is no error.
func (a access) stopQueries() {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	_, _ = a.query(ctx, client, "KILL QUERY WHERE user IN ('tacho', 'reader', 'grafana') ASYNC")
}

// query asks as the writer, whose password only our own engine knows.
func (a access) query(ctx context.Context, client *http.Client, text string) (string, error) {
	address := url.URL{Scheme: "http", Host: "127.0.0.1:" + strconv.Itoa(a.Port), Path: "/"}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), strings.NewReader(text))
	if err != nil {
		return "", err
	}
	request.Header.Set("X-ClickHouse-User", "tacho")
	request.Header.Set("X-ClickHouse-Key", a.Writer)
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, lastLinesSize))
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status + ": " + strings.TrimSpace(string(answer)))
	}
	return strings.TrimSpace(string(answer)), err
}
