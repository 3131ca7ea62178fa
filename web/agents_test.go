package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/schemas/journal"
	"tachograph/web/api"
	"tachograph/web/requests"
)

func TestAgentRequests(t *testing.T) {
	t.Parallel()
	l := newLab(t, repair())
	const head = `{"model":"kimi-k2-6","prompt":"Refactor the legacy matching engine in /opt/nothing/src to use Kafka Streams.",`
	for name, c := range map[string]struct{ body, kind, field, says string }{
		"the article":   {head + `"tools":["filesystem","github","bash","http"],"max_steps":8000,"state_persistence":true,"snapshot_interval":900,"rollback_on_failure":true,"agent_swarm":{"max_subagents":300,"coordination_mode":"model_guided"}}`, "not_built", "agent_swarm", "agent_swarm"},
		"github":        {head + `"tools":["filesystem","github"]}`, "not_built", "tools", `"github"`},
		"http":          {head + `"tools":["http"]}`, "not_built", "tools", `"http"`},
		"odd tool":      {head + `"tools":["telnet"]}`, "invalid", "tools", `"telnet"`},
		"unknown":       {head + `"max_stepps":3}`, "invalid", "max_stepps", `"max_stepps"`},
		"wrong type":    {head + `"max_steps":"3"}`, "invalid", "max_steps", "max_steps"},
		"no directory":  {head + `"tools":["bash"]}`, "invalid", "directory", "directory is missing"},
		"relative":      {head + `"directory":"src"}`, "invalid", "directory", "absolute"},
		"nested":        {head + `"sandbox":{"off":true}}`, "invalid", "off", `"off"`},
		"key in body":   {head + `"request_key":"x"}`, "invalid", "request_key", "Idempotency-Key"},
		"no prompt":     {`{"model":"x"}`, "invalid", "", "prompt is missing"},
		"bad directory": {head + `"directory":"/nonexistent/x"}`, "invalid", "", "not a directory"},
	} {
		p := l.problem(l.do(http.MethodPost, "/v1/agents", c.body), http.StatusUnprocessableEntity, c.kind)
		field := ""
		if p.Field != nil {
			field = *p.Field
		}
		if field != c.field || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%s: field %q, %s", name, field, p.Detail)
		}
	}
	if runs := get[api.RunList](l, "/api/runs"); len(runs.Runs) != 0 {
		t.Errorf("refused requests began %d runs", len(runs.Runs))
	}
	// What the article sends and is built starts, on the directory that its prompt names.
	body := fmt.Sprintf(`{"model":"kimi-k2-6","prompt":"Refactor the engine in %s, please.","tools":["filesystem","bash"],"max_steps":8000,"state_persistence":true,"snapshot_interval":900,"rollback_on_failure":true,"sandbox":{"disabled":true}}`, l.work)
	a := l.do(http.MethodPost, "/v1/agents", body)
	var agent api.Agent
	decode(t, a, &agent)
	if a.status != http.StatusCreated || a.header.Get("Location") != "/v1/agents/"+agent.RunId || *agent.Directory != l.work {
		t.Fatalf("start: %d %s", a.status, a.body)
	}
	l.rest(agent.RunId)
	if got := get[api.Agent](l, "/v1/agents/"+agent.RunId); got.Status != api.StatusDone || got.Steps != 4 {
		t.Errorf("agent is %+v", got)
	}
	if list := get[api.AgentList](l, "/v1/agents?status=done"); len(list.Agents) != 1 || list.Agents[0].Id != agent.Id {
		t.Errorf("list is %+v", list)
	}
	l.problem(l.do(http.MethodPost, "/v1/agents/"+agent.Id+"/pause", "{}"), http.StatusConflict, "not_live")
}

// TestIdempotencyKey: one key and body is one run, whatever happened in between.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	l := newLab(t, repair())
	create := func(body, key string) answer {
		return l.do(http.MethodPost, "/v1/agents", body, "Idempotency-Key", key)
	}
	id := func(a answer) string {
		var agent api.Agent
		decode(t, a, &agent)
		if a.status != http.StatusCreated {
			t.Fatalf("create: %d %s", a.status, a.body)
		}
		return agent.RunId
	}
	first := id(create(l.spec(nil), "key-1"))
	if again := id(create(" "+l.spec(nil), "key-1")); again != first {
		t.Errorf("the same request began %s beside %s", again, first)
	}
	l.problem(create(l.spec(map[string]any{"prompt": "Something else"}), "key-1"), http.StatusUnprocessableEntity, "key_reused")
	l.problem(create(`{"model":"x"}`, "key-2"), http.StatusUnprocessableEntity, "invalid")
	second := id(create(l.spec(nil), "key-2")) // a refused request did not use the key up
	l.rest(first)
	l.rest(second)

	// A process that died after it had begun the run and before it could write that down.
	l.close()
	file := filepath.Join(l.data, "requests", requests.Name("key-2")+".json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(text), `,"run":`)
	if at < 0 {
		t.Fatalf("the file holds %s", text)
	}
	if err := os.WriteFile(file, append(text[:at:at], '}'), 0o600); err != nil {
		t.Fatal(err)
	}
	l.open(repair())
	if again := id(create(l.spec(nil), "key-1")); again != first {
		t.Errorf("after a restart the same request began %s beside %s", again, first)
	}
	if again := id(create(l.spec(nil), "key-2")); again != second {
		t.Errorf("after a crash the same request began %s beside %s", again, second)
	}
	if runs := get[api.RunList](l, "/api/runs"); len(runs.Runs) != 2 {
		t.Errorf("%d runs", len(runs.Runs))
	}
}

const holding = `@id("all") permit (principal, action, resource);
@id("deletes") @hold("deleting needs a person") forbid (principal, action == Action::"delete", resource);
`

func TestApprovals(t *testing.T) {
	t.Parallel()
	for decision, want := range map[string]api.CallStatus{"approve": api.CallStatusOk, "deny": api.CallStatusRefused} {
		t.Run(decision, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, repair())
			policy := filepath.Join(t.TempDir(), "policy.cedar")
			if err := os.WriteFile(policy, []byte(holding), 0o644); err != nil {
				t.Fatal(err)
			}
			run := l.start(map[string]any{"policy": policy})
			l.await(run, journal.KindCallHeld, 0)
			header := get[api.Run](l, "/api/runs/"+run)
			if header.Summary.Status != api.StatusHeld || len(header.HeldCalls) != 1 || header.HeldCalls[0].Tool != "delete_file" ||
				!cmp.Equal(header.HeldCalls[0].Reasons, []string{"deleting needs a person"}) || header.HeldCalls[0].Why != "policy" {
				t.Fatalf("held: %+v", header.HeldCalls)
			}
			call := header.HeldCalls[0].Call
			path := fmt.Sprintf("/v1/agents/%s/approvals/", run)
			l.problem(l.do(http.MethodPost, path+fmt.Sprint(call), `{"decision":"maybe"}`), http.StatusUnprocessableEntity, "invalid")
			l.problem(l.do(http.MethodPost, path+"1", `{"decision":"approve"}`), http.StatusConflict, "conflict")
			if a := l.do(http.MethodPost, path+fmt.Sprint(call), fmt.Sprintf(`{"decision":%q,"reason":"looked at it","by":"ada"}`, decision)); a.status != http.StatusOK {
				t.Fatalf("answer: %d %s", a.status, a.body)
			}
			l.rest(run)
			told := items(get[api.Transcript](l, "/api/runs/"+run+"/transcript"), api.ItemTypeCall)[3].Call
			if told.Status != want || told.Answer == nil || told.Answer.By.Text != "ada" || told.Answer.Reason.Text != "looked at it" || told.Hold == nil {
				t.Errorf("the call is told as %+v, answer %+v", told, told.Answer)
			}
		})
	}
}

func TestSteerAndFork(t *testing.T) {
	t.Parallel()
	turns := repair()
	turns[1].wait = true
	l := newLab(t, turns)
	run := l.start(nil)
	<-l.asked
	if a := l.do(http.MethodPost, "/v1/agents/"+run+"/pause", `{"by":"ada"}`); a.status != http.StatusOK {
		t.Fatalf("pause: %d %s", a.status, a.body)
	}
	if s := get[api.Run](l, "/api/runs/"+run).Summary; s.Status != api.StatusPaused || *s.Why != "asked" {
		t.Errorf("paused: %+v", s)
	}
	l.problem(l.do(http.MethodPost, "/v1/agents/"+run+"/pause", `{}`), http.StatusConflict, "conflict")
	if a := l.do(http.MethodPost, "/v1/agents/"+run+"/resume", `{}`); a.status != http.StatusOK {
		t.Fatalf("resume: %d %s", a.status, a.body)
	}
	if a := l.do(http.MethodPost, "/v1/agents/"+run+"/stop", `{"now":true}`); a.status != http.StatusOK {
		t.Fatalf("stop: %d %s", a.status, a.body)
	}
	if o := l.rest(run); o.Why != "stopped" {
		t.Fatalf("stopped: %+v", o)
	}

	// The fork is given the turn that the run did not live to take.
	calls := items(get[api.Transcript](l, "/api/runs/"+run+"/transcript"), api.ItemTypeCall)
	seq := *calls[len(calls)-1].Call.EndedSeq
	body := fmt.Sprintf(`{"seq":%d,"set":{"turn":{"content":"Otherwise.","calls":[{"tool":"write_file","arguments":{"intent":"Another name.","path":"other.txt","content":"x\n"}}]},"spec":{"max_steps":"7"}}}`, seq)
	a := l.do(http.MethodPost, "/api/runs/"+run+"/fork", body)
	var forked api.Forked
	decode(t, a, &forked)
	if a.status != http.StatusCreated {
		t.Fatalf("fork: %d %s", a.status, a.body)
	}
	header := get[api.Run](l, "/api/runs/"+forked.RunId)
	if header.Summary.Status != api.StatusPaused || header.Summary.Parent.Run != run || header.Summary.Parent.Seq != seq || *header.Limits.Steps != 7 {
		t.Errorf("fork is %+v", header)
	}
	if forks := get[api.Run](l, "/api/runs/"+run).Forks; len(forks) != 1 || forks[0].Id != forked.RunId || forks[0].Seq != seq {
		t.Errorf("forks of the run: %+v", forks)
	}
	turns[1].wait = false // the model has not been asked for it: the turn was given
	if a := l.do(http.MethodPost, "/v1/agents/"+forked.RunId+"/resume", `{}`); a.status != http.StatusOK {
		t.Fatalf("resume: %d %s", a.status, a.body)
	}
	if o := l.rest(forked.RunId); o.Why != "done" {
		t.Fatalf("the fork came to %+v", o)
	}
	c := get[api.Comparison](l, "/api/compare?a="+run+"&b="+forked.RunId)
	if c.Common == nil || c.Common.Run != run || c.Common.Seq != seq || c.GivenTurn == nil || len(c.Rows) < 2 || *c.Rows[0].B.Summary != "Otherwise." || *c.Rows[1].B.Summary != "other.txt" || c.Rows[1].Same {
		t.Errorf("comparison is %+v", c)
	}
	var fields []string
	for _, d := range c.Spec {
		fields = append(fields, d.Field)
	}
	if !cmp.Equal(fields, []string{"max_steps"}) || c.FilesTotal == 0 {
		t.Errorf("specs differ in %v, %d files", fields, c.FilesTotal)
	}
	if c.By == nil || c.By.Text != "a person at the web interface" {
		t.Errorf("the fork was made by %+v", c.By)
	}
	l.problem(l.do(http.MethodPost, "/api/runs/"+run+"/fork", `{"seq":99999}`), http.StatusNotFound, "not_found")
	l.problem(l.do(http.MethodPost, "/api/runs/"+run+"/fork", `{"seq":1,"set":{"turn":{}}}`), http.StatusUnprocessableEntity, "invalid")
	l.problem(l.do(http.MethodPost, "/api/runs/"+run+"/fork", `{"seq":1,"set":{"spec":{"no_such":"1"}}}`), http.StatusConflict, "conflict")
	l.problem(l.do(http.MethodPost, "/api/runs/"+run+"/fork", `{"seq":1,"sett":{}}`), http.StatusUnprocessableEntity, "invalid")
}

// A fork whose model is told another result: the state offers the calls, the fork's model sees what was
// given, the transcript and the comparison show both, the files are as they were, and the proofs hold.
func TestForkWithResult(t *testing.T) {
	t.Parallel()
	l := newLab(t, repair())
	run := l.start(nil)
	l.rest(run)
	calls := items(get[api.Transcript](l, "/api/runs/"+run+"/transcript"), api.ItemTypeCall)
	first, second := calls[0], calls[1]
	at := *second.Call.EndedSeq
	offered := get[api.State](l, fmt.Sprintf("/api/runs/%s/state?seq=%d", run, at))
	if got := offered.Agents[0].Calls; len(got) != 2 || got[0].Call != first.Seq || got[1].Call != second.Seq || got[1].Index != 1 ||
		got[1].Summary == nil || *got[1].Summary != "evil.html" || got[1].Result == nil || got[1].Result.Text != second.Call.Result.Text {
		t.Fatalf("the state offers %+v", got)
	}
	const told = "<script>another()</script>\nnothing to see\u202e"
	large := strings.Repeat("line of a large result\n", 20_000)
	by, resume := "ada", true
	body, err := json.Marshal(api.ForkRequest{Seq: at, By: &by, Resume: &resume, Set: &api.ForkChange{Results: []api.ResultToGive{
		{Call: second.Seq, Text: told}, {Call: first.Seq, Text: large}}}})
	if err != nil {
		t.Fatal(err)
	}
	var forked api.Forked
	decode(t, l.do(http.MethodPost, "/api/runs/"+run+"/fork", string(body)), &forked)
	if o := l.rest(forked.RunId); o.Why != "done" {
		t.Fatalf("the fork came to %+v", o)
	}

	start := items(get[api.Transcript](l, "/api/runs/"+forked.RunId+"/transcript"), api.ItemTypeStart)[0].Start
	if start.By == nil || start.By.Text != "ada" || len(start.GivenResults) != 2 || start.GivenResults[0].Call != first.Seq ||
		!start.GivenResults[0].Text.Cut || start.GivenResults[1].Text.Text != told {
		t.Errorf("the fork begins with %+v", start)
	}
	c := get[api.Comparison](l, "/api/compare?a="+run+"&b="+forked.RunId)
	if len(c.GivenResults) != 2 || c.GivenResults[1].Was.Text != second.Call.Result.Text || *c.GivenResults[1].Tool != "read_file" {
		t.Errorf("the comparison shows %+v", c.GivenResults)
	}
	// The run took four steps, the first of which the fork shares; the fork takes the other three anew.
	if c.SpentA.Steps != 3 || c.SpentB.Steps != 3 || c.SpentA.Calls != 2 || c.SpentB.Calls != 2 {
		t.Errorf("after they part %+v and %+v were used", c.SpentA, c.SpentB)
	}
	if len(c.Rows) == 0 || c.Rows[0].A.Type != api.CompareCellTypeTurn || !c.Rows[0].Same {
		t.Errorf("the comparison begins with %+v", c.Rows)
	}
	var seen []string
	for _, m := range get[api.MessageList](l, "/api/runs/"+forked.RunId+"/messages").Messages {
		if m.Role == "tool" {
			seen = append(seen, m.Content.Text)
		}
	}
	if len(seen) < 2 || seen[1] != told || !strings.HasPrefix(large, seen[0]) {
		t.Errorf("the model was told %.200q", seen)
	}
	if v := get[api.State](l, fmt.Sprintf("/api/runs/%s/state?seq=0", forked.RunId)); v.Root != offered.Root || *v.Agents[0].Calls[1].Status != journal.ResultIsGiven {
		t.Errorf("the fork's first state is %+v", v)
	}
	for _, wrong := range []struct{ set, what string }{
		{fmt.Sprintf(`{"results":[{"call":%d,"text":"a"},{"call":%[1]d,"text":"b"}]}`, first.Seq), "twice"},
		{fmt.Sprintf(`{"results":[{"call":%d,"text":"a"}]}`, first.Seq+1), "is not a tool call"},
		{fmt.Sprintf(`{"results":[{"call":%d,"text":"a"}]}`, calls[2].Seq), "has not been asked for at entry"},
	} {
		a := l.do(http.MethodPost, "/api/runs/"+run+"/fork", fmt.Sprintf(`{"seq":%d,"set":%s}`, at, wrong.set))
		if a.status < 400 || !strings.Contains(string(a.body), wrong.what) {
			t.Errorf("%s: %d %s", wrong.set, a.status, a.body)
		}
	}
}
