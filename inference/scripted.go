package inference

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"tachograph/inference/script"
	"tachograph/schemas/chat"
)

const scriptProvider = "script"

// scripted plays a script as if a model had answered.
type scripted struct {
	name   string // script/<file>
	script *script.Script
	clock  Clock
}

func openScript(file string, c Config) (*scripted, error) {
	source, err := readScript(file, c)
	if err != nil {
		return nil, err
	}
	s, err := script.Parse(file, source)
	if err != nil {
		return nil, err
	}
	return &scripted{name: scriptProvider + "/" + file, script: s, clock: c.Clock}, nil
}

func readScript(file string, c Config) ([]byte, error) {
	f, err := openFile(file, c)
	if err != nil {
		return nil, fmt.Errorf("open script: %w", err)
	}
	defer f.Close()
	source, err := io.ReadAll(io.LimitReader(f, script.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read script: %w", err)
	}
	return source, nil
}

// openFile opens a regular file: a pipe would wait for a writer.
func openFile(file string, c Config) (*os.File, error) {
	dir := c.Dir
	if dir == "" {
		dir = "."
	}
	path := file
	if !filepath.IsAbs(file) {
		path = filepath.Join(dir, file)
	}
	stat, open := os.Stat, os.Open
	if c.Confined {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		stat, open, path = root.Stat, root.Open, file
	}
	info, err := stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", file)
	}
	return open(path)
}

// Name implements [Provider].
func (s *scripted) Name() string { return s.name }

// Frame implements [Provider]. Options have no meaning for a script and are left out.
func (s *scripted) Frame(tools []chat.Tool, _ Options) (chat.Frame, error) {
	f, err := writeFrame(s.name, tools, nil)
	if err != nil {
		return f, fmt.Errorf("write request for %s: %w", s.name, err)
	}
	return f, nil
}

// Ask implements [Provider]. The answer is a function of the messages alone; only its pace is the
// clock's.
func (s *scripted) Ask(ctx context.Context, f chat.Frame, messages []chat.Message, watch func(chat.Delta)) (chat.Answer, error) {
	if err := ctx.Err(); err != nil {
		return chat.Answer{}, fmt.Errorf("ask %s: %w", s.name, err)
	}
	t, err := s.script.Next(messages)
	if err != nil {
		return chat.Answer{}, fmt.Errorf("ask %s: %w", s.name, err)
	}
	if err := s.show(ctx, t, watch); err != nil {
		return chat.Answer{}, fmt.Errorf("ask %s: %w", s.name, err)
	}
	if t.Fail != "" {
		return chat.Answer{}, &APIError{Model: s.name, Message: t.Fail, Tries: 1}
	}
	a := chat.Answer{
		Message: t.Message, Finish: t.Finish, Usage: estimate(f, messages, t.Message), Model: s.name,
		ID: fmt.Sprintf("script-%d", len(messages)), Tries: 1,
	}
	if t.Usage != nil {
		a.Usage = *t.Usage
	}
	a.Raw, err = rawAnswer(a)
	return a, err
}

// estimate counts four bytes a token, as a rule of thumb for English and code; the same messages
// give the same numbers. Known is true, because for a script this is what is charged.
func estimate(f chat.Frame, messages []chat.Message, answer chat.Message) chat.Usage {
	in := len(f.Bytes) + max(len(messages)-1, 0) // the commas
	for _, m := range messages {
		in += len(m)
	}
	return chat.Usage{Input: int64(in+3) / 4, Output: int64(len(answer)+3) / 4, Known: true}
}

// rawAnswer writes the answer as a server that does not stream would.
func rawAnswer(a chat.Answer) ([]byte, error) {
	type tokens struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
		Cached     int64 `json:"cached_tokens"`
	}
	type choice struct {
		Index   int          `json:"index"`
		Message chat.Message `json:"message"`
		Finish  string       `json:"finish_reason"`
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		ID      string   `json:"id"`
		Model   string   `json:"model"`
		Choices []choice `json:"choices"`
		Usage   tokens   `json:"usage"`
	}{a.ID, a.Model, []choice{{0, a.Message, a.Finish}}, tokens{a.Usage.Input, a.Usage.Output, a.Usage.Cached}})
	if err != nil {
		return nil, fmt.Errorf("encode answer of %s: %w", a.Model, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// pieces is into how many a paced answer is cut for people who watch.
const pieces = 16

// show hands the answer out in pieces over the time that the turn takes.
func (s *scripted) show(ctx context.Context, t script.Turn, watch func(chat.Delta)) error {
	deltas, err := cut(t)
	if err != nil {
		return err
	}
	n := time.Duration(max(len(deltas), 1))
	for i := range max(len(deltas), 1) {
		if err := wait(ctx, s.clock, t.Pace/n); err != nil {
			return err
		}
		if watch != nil && i < len(deltas) {
			watch(deltas[i])
		}
	}
	return nil
}

// cut makes the pieces of a turn: text in words, calls whole.
func cut(t script.Turn) ([]chat.Delta, error) {
	if t.Message == nil {
		return nil, nil
	}
	p, err := chat.Parse(t.Message)
	if err != nil {
		return nil, err
	}
	var deltas []chat.Delta
	for _, w := range words(p.ReasoningContent) {
		deltas = append(deltas, chat.Delta{Reasoning: w})
	}
	for _, w := range words(p.Content) {
		deltas = append(deltas, chat.Delta{Content: w})
	}
	for _, c := range p.ToolCalls {
		deltas = append(deltas, chat.Delta{ToolName: c.Function.Name})
		if c.Function.Arguments != "" {
			deltas = append(deltas, chat.Delta{ToolArguments: c.Function.Arguments})
		}
	}
	return deltas, nil
}

// words cuts a text after spaces, into at most about pieces of like length.
func words(text *string) []string {
	if text == nil || *text == "" {
		return nil
	}
	var cut []string
	rest, least := *text, len(*text)/pieces
	for i := 0; i < len(rest); i++ {
		if i >= least && (rest[i] == ' ' || rest[i] == '\n') && i+1 < len(rest) {
			cut = append(cut, rest[:i+1])
			rest, i = rest[i+1:], 0
		}
	}
	return append(cut, rest)
}
