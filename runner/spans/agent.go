package spans

import (
	"strings"

	"go.opentelemetry.io/otel/trace"

	"tachograph/runner/spans/genai"
	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
)

// agent is an actor of the run and its open span. It stays when it has ended, because a rollback
// may bring it back.
type agent struct {
	span
	about   agentDetail
	open    bool
	spawned int64 // seq of the entry that made it

	plan      *plan // open; nil between steps
	chats     []*chatSpan
	calls     []*call     // open, in order of proposal
	intents   []intent    // newest, not yet named by a call
	frame     journal.Ref // of the newest question
	compacted *journal.ContextCompacted
}

// agentDetail is what an agent's span says besides.
type agentDetail struct {
	model     string
	goal      journal.Ref
	result    journal.Ref
	task      int64
	outcome   string
	answers   int64
	calls     int64
	unpriced  int64
	priced    bool // an answer had a price
	cost      int64
	tokens    journal.Tokens
	estimated int64

	started *journal.RunStarted // of the root agent
}

// intent is why an agent does what follows.
type intent struct {
	seq    int64
	text   journal.Ref
	source string
}

// agent returns the agent with that path. In a fork it may be one that came with the parent's
// state: it has been there since entry 0.
func (p *projector) agent(path string) *agent {
	if a := p.agents[path]; a != nil {
		return a
	}
	a := p.newAgent(path, p.first)
	if path != "/" {
		a.about.model = p.agent(parentPath(path)).about.model
	}
	return a
}

// parentPath is the path of the agent above: "/" for "/2", "/2" for "/2/1".
func parentPath(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 1)] }

// newAgent adds an agent whose span the entry opens.
func (p *projector) newAgent(path string, e journal.Entry) *agent {
	a := &agent{spawned: e.Seq}
	p.agents[path] = a
	p.order = append(p.order, a)
	p.openAgent(a, path, e)
	return a
}

func (p *projector) openAgent(a *agent, path string, e journal.Entry) {
	a.open = true
	a.span = span{id: SpanID(p.run, e.Seq, nameAgent+path), name: nameAgent + path, kind: trace.SpanKindInternal,
		start: e.Time, agent: path, seq: e.Seq}
	if path != "/" {
		a.parent = p.agent(parentPath(path)).id
	}
}

func (p *projector) closeAgent(a *agent, e journal.Entry, failure string) {
	if !a.open {
		return
	}
	p.closePlan(a, e, failure)
	a.open = false
	a.close(e, failure)
	done := a.span
	about := a.about
	done.detail = &about
	p.emit(&done)
	a.events, a.links, a.because = nil, nil, journal.Ref{}
}

func (p *projector) runStarted(e journal.Entry, b *journal.RunStarted) {
	if len(p.order) > 0 {
		return
	}
	p.first = e
	root := p.newAgent("/", e)
	root.about = agentDetail{model: b.Model, goal: b.Goal, started: b}
	if b.Parent != nil {
		root.links = []link{{b.Parent.Run, SpanID(b.Parent.Run, 0, nameAgent+"/"), attr.RelationFork}}
	}
}

// runEnded closes what is still open, from the inside out.
func (p *projector) runEnded(e journal.Entry, b *journal.RunEnded) {
	for i := len(p.order) - 1; i >= 0; i-- {
		a := p.order[i]
		p.closeWork(a, e, ErrorRunEnded)
		if a.agent != "/" {
			a.about.outcome = "stopped"
			p.closeAgent(a, e, ErrorRunEnded)
		}
	}
	root := p.agent("/")
	root.about.outcome, root.because = b.Outcome, b.Reason
	p.closeAgent(root, e, failedOutcome(b.Outcome))
}

func failedOutcome(outcome string) string {
	if outcome == "failed" {
		return outcome
	}
	return ""
}

func (p *projector) agentSpawned(e journal.Entry, b *journal.AgentSpawned) {
	if p.agents[b.Path] != nil {
		return
	}
	a := p.newAgent(b.Path, e)
	a.about.model, a.about.goal, a.about.task = b.Model, b.Goal, b.Task
}

func (p *projector) agentEnded(e journal.Entry, b *journal.AgentEnded) {
	a := p.agent(b.Path)
	a.about.outcome, a.about.result = b.Outcome, b.Result
	p.closeAgent(a, e, failedOutcome(b.Outcome))
}

// rolledBack closes what the rollback undoes. An agent that did not exist at the snapshot is undone;
// one that has ended since is alive again, and its earlier span may be on its way already, so it
// gets another one.
func (p *projector) rolledBack(e journal.Entry, b *journal.RolledBack) {
	for i := len(p.order) - 1; i >= 0; i-- {
		a := p.order[i]
		p.closeWork(a, e, ErrorRolledBack)
		a.compacted, a.intents = nil, nil
		if a.spawned > b.To && a.open {
			a.about.outcome = "undone"
			p.closeAgent(a, e, ErrorRolledBack)
		}
	}
	for _, a := range p.order {
		if !a.open && a.spawned < b.To && a.last > b.To {
			p.reopen(a, e)
		}
	}
	p.moment(e, b)
}

func (p *projector) reopen(a *agent, e journal.Entry) {
	before, path := a.id, a.agent
	step := a.step
	a.about = agentDetail{model: a.about.model, goal: a.about.goal, task: a.about.task, started: a.about.started}
	p.openAgent(a, path, e)
	a.step = step
	a.links = []link{{p.run, before, attr.RelationContinues}}
}

// recovered tells the calls that were under way what became of them. Questions without an answer are
// closed by the answers of status lost that follow.
func (p *projector) recovered(e journal.Entry, b *journal.Recovered) {
	mark := func(ids []int64, name string) {
		for _, id := range ids {
			for _, a := range p.order {
				if c := a.call(id); c != nil {
					c.add(event{name, e.Time, e.Seq, []value{{key: attr.Call, val: id}}})
				}
			}
		}
	}
	mark(b.Doubt, attr.EventInDoubt)
	mark(b.Rerun, attr.EventRestarted)
	p.moment(e, b)
}

// closeWork closes what an agent has under way: its calls, questions and plan.
func (p *projector) closeWork(a *agent, e journal.Entry, failure string) {
	for _, c := range a.calls {
		c.close(e, failure)
		p.emitCall(c)
	}
	a.calls = nil
	p.closeChats(a, e, failure)
	p.closePlan(a, e, failure)
}

// maxIntents bounds the intents that no call has named yet.
const maxIntents = 64

func (p *projector) intent(e journal.Entry, b *journal.Intent) {
	a := p.agent(e.Agent)
	a.intents = append(a.intents, intent{e.Seq, b.Text, b.Source})
	if over := len(a.intents) - maxIntents; over > 0 {
		a.intents = append(a.intents[:0], a.intents[over:]...)
	}
}

// charge adds an answer to what its agent spent.
func (a *agentDetail) charge(b *journal.ModelAnswered) {
	if b.Status == "ok" || b.Status == "given" {
		a.answers++
	}
	switch {
	case b.Priced:
		a.priced = true
		a.cost += b.CostNUSD
	case b.Status != "given":
		a.unpriced++
	}
	a.tokens.Input += b.Tokens.Input
	a.tokens.Cached += b.Tokens.Cached
	a.tokens.Output += b.Tokens.Output
	a.tokens.Reasoning += b.Tokens.Reasoning
	if b.Estimated {
		a.estimated += b.Tokens.Input + b.Tokens.Output
	}
}

func (a *agentDetail) describe(d *describer) {
	d.text(attr.GenAIOperationName, attr.OperationInvokeAgent)
	d.text(attr.GenAIAgentName, d.span.agent)
	d.model(a.model)
	d.text(attr.Outcome, a.outcome)
	d.number(attr.AgentAnswers, a.answers)
	d.number(attr.AgentCalls, a.calls)
	d.tokens(a.tokens, a.estimated)
	if a.priced {
		d.number(attr.CostNUSD, a.cost)
	}
	if a.unpriced > 0 {
		d.number(attr.AgentUnpriced, a.unpriced)
	}
	if a.task != 0 {
		d.number(attr.AgentTask, a.task)
	}
	if s := a.started; s != nil {
		d.text(attr.RunFamily, s.Family.String())
		d.text(attr.RunSandbox, s.Sandbox)
		if s.Parent != nil {
			d.text(attr.RunParent, s.Parent.Run.String())
			d.number(attr.ParentSeq, s.Parent.Seq)
		}
	}
	if goal, ok := d.content(attr.GenAIInputMessages, a.goal); ok {
		d.messages(attr.GenAIInputMessages, []genai.Message{genai.Text("user", string(goal))})
	}
	if result, ok := d.content(attr.GenAIOutputMessages, a.result); ok {
		d.messages(attr.GenAIOutputMessages, []genai.Message{genai.Text("assistant", string(result))})
	}
}
