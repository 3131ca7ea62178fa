package story

import (
	"context"
	"fmt"
	"strings"

	"tachograph/schemas/journal"
	"tachograph/web/api"
)

// event tells what happens to the run itself. Checkpoints are a cache and say nothing.
func (t *Teller) event(ctx context.Context, e journal.Entry, body journal.Body) []*api.Item {
	told := t.describe(ctx, body)
	if told == nil {
		return nil
	}
	told.Kind = string(e.Kind)
	item := t.item(e, api.ItemTypeEvent)
	item.Event = told
	return []*api.Item{item}
}

func (t *Teller) describe(ctx context.Context, body journal.Body) *api.Event {
	text := func(ref journal.Ref) *api.Text { return t.text(ctx, ref, "") }
	switch b := body.(type) {
	case *journal.RunEnded:
		return &api.Event{Title: "Run " + b.Outcome, Detail: text(b.Reason), Root: ptr(b.Root.String()), State: ptr(b.State.String())}
	case *journal.ContextCompacted:
		return &api.Event{Title: fmt.Sprintf("Conversation shortened to %s", count(b.Length, "message"))}
	case *journal.Snapshot:
		return &api.Event{Title: "Snapshot (" + b.Why + ")", Root: ptr(b.Root.String()), State: ptr(b.State.String())}
	case *journal.RolledBack:
		return &api.Event{Title: fmt.Sprintf("Rolled back to snapshot %d", b.To), Detail: text(b.Reason), Root: ptr(b.Root.String()), To: ptr(b.To)}
	case *journal.Paused:
		return &api.Event{Title: "Paused (" + b.Why + ")", By: text(b.By)}
	case *journal.Resumed:
		return &api.Event{Title: "Resumed", By: text(b.By)}
	case *journal.Stopped:
		title := "Asked to stop"
		if b.Now {
			title = "Asked to stop at once"
		}
		return &api.Event{Title: title, By: text(b.By)}
	case *journal.Recovered:
		return &api.Event{Title: recovered(b), Calls: b.Doubt}
	case *journal.AlarmRaised:
		return &api.Event{Title: "Alarm " + b.Alarm, Detail: text(b.Reason)}
	case *journal.PolicyChanged:
		return &api.Event{Title: "Policy changed", By: text(b.By)}
	case *journal.LimitChanged:
		return &api.Event{Title: "Budgets changed", By: text(b.By), Limits: ptr(Limits(b.Limits))}
	}
	return t.describeOthers(ctx, body)
}

// describeOthers tells of agents, tasks, messages and files that no call changed.
func (t *Teller) describeOthers(ctx context.Context, body journal.Body) *api.Event {
	text := func(ref journal.Ref) *api.Text { return t.text(ctx, ref, "") }
	switch b := body.(type) {
	case *journal.AgentSpawned:
		return &api.Event{Title: "Agent " + b.Path + " begins", Detail: text(b.Goal)}
	case *journal.AgentEnded:
		return &api.Event{Title: "Agent " + b.Path + " " + b.Outcome, Detail: text(b.Result)}
	case *journal.TaskChanged:
		return &api.Event{Title: fmt.Sprintf("Task %d %s", b.Task, b.Status), Detail: text(b.Title)}
	case *journal.MessageSent:
		return &api.Event{Title: "Message to " + b.To, Detail: text(b.Body)}
	case *journal.MessageReceived:
		return &api.Event{Title: "Message taken", To: ptr(b.Sent)}
	case *journal.WorkspaceTouched:
		return &api.Event{Title: fmt.Sprintf("%s changed by %s", count(b.Files, "file"), b.By), Root: ptr(b.Root.String()), Delta: &api.Delta{Files: b.Files}}
	case *journal.WorkspaceMerged:
		return &api.Event{Title: fmt.Sprintf("%s merged from run %s", count(b.Files, "file"), b.From), Root: ptr(b.Root.String()), Delta: &api.Delta{Files: b.Files}}
	case *journal.Note:
		return &api.Event{Title: strings.TrimPrefix(string(b.Name), journal.NotePrefix)}
	}
	return nil
}

// recovered says what a process found unfinished when it took the run up.
func recovered(b *journal.Recovered) string {
	var found []string
	for _, f := range []struct {
		n          int
		noun, what string
	}{{len(b.Rerun), "call", "to run again"}, {len(b.Doubt), "call", "that may have happened"}, {len(b.Lost), "question", "to ask again"}} {
		if f.n > 0 {
			found = append(found, count(int64(f.n), f.noun)+" "+f.what)
		}
	}
	if len(found) == 0 {
		return "Taken up by a new process"
	}
	return "Taken up by a new process: " + strings.Join(found, ", ")
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
