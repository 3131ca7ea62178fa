package replay_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/runner/state"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
	"tachograph/schemas/journal/journaltest"
)

// longRun writes a run of so many steps: a question, an answer, an intent and a call each, in one
// conversation that grows.
func longRun(b testing.TB, store *state.Store, steps int64) (run journal.RunID, entries int64) {
	b.Helper()
	run = runID(200)
	r, err := store.Create(b.Context(), run, state.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	g := journaltest.New(1)
	g.Stage = r.Stage
	root, err := journal.EncodeDir(nil)
	if err != nil {
		b.Fatal(err)
	}
	g.Root = func() journal.Object { return journal.NameObject(root) }
	if err := r.Objects().Put(b.Context(), journal.NameObject(root), root); err != nil {
		b.Fatal(err)
	}
	if err := r.Objects().SealBase(b.Context(), journal.NameObject(root)); err != nil {
		b.Fatal(err)
	}
	started := g.Start(run)
	started.Limits = journal.Limits{}
	if _, err := r.Append(b.Context(), state.Draft{Agent: "/", Body: started}); err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	prose := func(n int64, size int) string { return string(journaltest.Text(rng, n, size)) }
	list, fresh := journal.List{}, []chat.Message{chat.User("begin")}
	for n := int64(1); n <= steps; n++ {
		var refs []journal.Ref
		for _, m := range fresh {
			refs = append(refs, r.Stage(m))
		}
		kept := int64(list.Len())
		list = list.Append(refs...)
		answer := chat.User(prose(n, 600))
		result := chat.ToolResult(fmt.Sprint(n), prose(n, 2000))
		asked := journal.ModelAsked{Step: n, Attempt: 1, Model: "m", Kept: kept, New: refs, Head: list.Head(), Length: int64(list.Len()), Frame: started.Policy}
		answered := journal.ModelAnswered{Status: "ok", Message: r.Stage(answer), Finish: "tool_calls", Calls: 1, Tokens: journal.Tokens{Input: 1000, Output: 100}}
		intent := journal.Intent{Text: r.Stage([]byte(prose(n, 60))), Source: "declared"}
		proposed := journal.CallProposed{Step: n, Tool: "bash", Args: r.Stage([]byte(prose(n, 100))), Effect: "write", Scope: "workspace"}
		ended := journal.CallEnded{Status: "ok", Message: r.Stage(result), Root: started.Root, Observed: "none"}
		_, err := r.AppendNext(b.Context(), func(next int64) []state.Draft {
			a, w, i, p, e := asked, answered, intent, proposed, ended
			w.Asked, p.Intent, e.Call = next, next+2, next+3
			bodies := []journal.Body{&a, &w, &i, &p, &journal.CallDecided{Call: e.Call, Decision: "allow", Engine: "cedar", Policy: started.Policy},
				&journal.CallStarted{Call: e.Call, Attempt: 1, Root: started.Root}, &e}
			drafts := make([]state.Draft, len(bodies))
			for i, body := range bodies {
				drafts[i] = state.Draft{Agent: "/", Body: body}
			}
			return drafts
		})
		if err != nil {
			b.Fatal(err)
		}
		fresh = []chat.Message{answer, result}
	}
	return run, r.Len()
}

// changeByte changes the first byte of a piece of content where ClickHouse keeps it.
func changeByte(t testing.TB, project, name string) {
	t.Helper()
	conn := embeddedtest.Connect(t, embeddedtest.Open(t).DSN())
	ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"project": project, "name": name}))
	err := conn.Exec(ctx, `ALTER TABLE content UPDATE bytes = concat(char(bitXor(ascii(bytes), 1)), substring(bytes, 2))
		WHERE project = {project:String} AND name = unhex({name:String}) SETTINGS mutations_sync = 2`)
	if err != nil {
		t.Fatal(err)
	}
}
