//go:build linux

package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tachograph/runner/state"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
	"tachograph/web/api"
)

// written has tacho stop, writes runs into its store as its runner would have, and starts it again: runs of that size take hours to make
// with a model. It waits until all of it has been shipped to ClickHouse, as that takes both cores.
func (s *stage) written(ctx context.Context, t *testing.T, write func(*state.Store) (runs []string)) []string {
	t.Helper()
	must(t, s.kill())
	store, err := state.Open(filepath.Join(s.dir, "data", "store"), state.Options{})
	must(t, err)
	runs := write(store)
	must(t, store.Close())
	must(t, s.up(strings.TrimPrefix(s.HTTP, "http://")))
	for _, run := range runs {
		must(t, s.shipped(ctx, run))
	}
	return runs
}

func (s *stage) shipped(ctx context.Context, run string) error {
	_, err := s.listed(ctx, "/api/runs?source=tacho&limit=500&q="+run, func(r api.RunSummary) bool {
		return r.Id == run && r.Shipped != nil && *r.Shipped == *r.Entries
	})
	return err
}

// written is a run that a test writes.
type writing struct {
	ctx context.Context
	run *state.Run
	err error
}

// add appends entries at once, and says where the first is.
func (w *writing) add(bodies ...journal.Body) int64 {
	if w.err != nil {
		return 0
	}
	drafts := make([]state.Draft, len(bodies))
	for i, body := range bodies {
		drafts[i] = state.Draft{Agent: "/", Body: body}
	}
	written, err := w.run.Append(w.ctx, drafts...)
	if w.err = err; err != nil {
		return 0
	}
	return written[0].Seq
}

func (w *writing) stage(text string) journal.Ref { return w.run.Stage([]byte(text)) }

func writeRun(ctx context.Context, store *state.Store, goal string, turns int) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	run, err := store.Create(ctx, journal.RunID(id), state.CreateOptions{})
	if err != nil {
		return "", err
	}
	w := &writing{ctx: ctx, run: run}
	tree := journal.NameObject([]byte("tree"))
	w.add(&journal.RunStarted{Spec: w.stage(`{"model":"kimi/some-model"}`), Goal: w.stage(goal), Model: "kimi/some-model", Family: run.ID(), Base: tree, Root: tree,
		Policy: w.stage("permit(principal, action, resource);"), Sandbox: "1"})
	for n := range turns {
		w.turn(n)
	}
	w.add(&journal.RunEnded{Outcome: "done", Reason: w.stage("all done"), Root: run.State().Root})
	return id.String(), w.err
}

// callsOfTurn makes ten spans of a turn: the step, the question and its calls.
const callsOfTurn = 8

const frame = `{"model":"some-model","messages":[],"tools":[],"stream":true}`

func (w *writing) turn(n int) {
	list := w.run.State().Agent("/").List
	news := w.run.Stage(chat.User(fmt.Sprintf("Go on, %d.", n)))
	asked := w.add(&journal.ModelAsked{Step: w.run.State().Agent("/").Step + 1, Attempt: 1, Model: "kimi/some-model", Kept: int64(list.Len()), New: []journal.Ref{news},
		Head: list.Append(news).Head(), Length: int64(list.Len() + 1), Frame: w.stage(frame), At: int64(strings.Index(frame, "[") + 1)})
	text := fmt.Sprintf("I look at part %d.", n)
	said := chat.Parsed{Content: &text}
	for i := range callsOfTurn {
		said.ToolCalls = append(said.ToolCalls, chat.ToolCall{ID: fmt.Sprint("call_", i), Type: "function", Function: chat.FunctionCall{Name: "read_file", Arguments: `{"path":"notes.md"}`}})
	}
	w.add(&journal.ModelAnswered{Asked: asked, Status: "ok", Message: w.run.Stage(chat.Assistant(said)), Raw: w.stage("raw"), Finish: chat.FinishToolCalls, Calls: callsOfTurn,
		Tokens: journal.Tokens{Input: 100, Output: 20}, CostNUSD: 1500, Priced: true})
	intent := w.add(&journal.Intent{Text: w.stage(text), Source: "declared"})
	var proposed, rest []journal.Body
	for i := range int64(callsOfTurn) {
		proposed = append(proposed, &journal.CallProposed{Step: w.run.State().Agent("/").Step, Index: i, Tool: "read_file", Args: w.stage(`{"path":"notes.md"}`), Intent: intent,
			Effect: "read", Scope: "workspace", Targets: w.stage(`{"v":1,"actions":["read"],"read":["notes.md"]}`)})
	}
	first := w.add(proposed...)
	reasons, _ := json.Marshal(map[string]any{"v": 1, "decision": "allow", "reasons": []any{map[string]any{"id": "policy0", "text": "reads are allowed"}}})
	for i := range int64(callsOfTurn) {
		root := w.run.State().Root
		rest = append(rest, &journal.CallDecided{Call: first + i, Decision: "allow", Engine: "cedar", Policy: w.run.State().Policy, Reasons: w.run.Stage(reasons)},
			&journal.CallStarted{Call: first + i, Attempt: 1, Root: root},
			&journal.CallEnded{Call: first + i, Status: "ok", Message: w.run.Stage(chat.ToolResult(fmt.Sprint("call_", i), "what stands there")), Root: root, Observed: "none"})
	}
	w.add(rest...)
}

// TestWritten: a run that is written so is one that the pages show.
func TestWritten(t *testing.T) {
	t.Parallel()
	store, err := state.Open(t.TempDir(), state.Options{})
	must(t, err)
	run, err := writeRun(t.Context(), store, "a small one", 3)
	must(t, errors.Join(err, store.Close()))
	if _, err := journal.ParseRunID(run); err != nil {
		t.Error(err)
	}
}
