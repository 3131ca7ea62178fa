package gate

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"tachograph/runner/gate/reach"
	"tachograph/schemas/verdict"
)

// Verdicts, as call.decided spells them.
const (
	Allow = "allow"
	Deny  = "deny"
	Hold  = "hold"
)

// Input is everything that a policy may ask about a call; schema.cedarschema documents it.
type Input struct {
	Run        string
	Agent      string // path
	Model      string
	Tool       string
	Effect     string // none, read, write, delete: what the tool's plan says, tightened by Reach
	Scope      string // workspace, machine, external
	Idempotent bool
	Executes   bool // the call runs programs
	Sandbox    int  // tier, 0 for none
	Attempt    int64
	BudgetUsed int64 // percent
	Time       time.Time
	Reach      reach.Reach
}

// Decision is what policy says about a call.
type Decision struct {
	Verdict string   // Allow, Deny or Hold
	Reasons []Reason // of the policies that made the verdict, in order of the file
	Errors  int64    // policies that could not be evaluated; any means Deny
}

// Reason is one policy that matched.
type Reason = verdict.Reason

// JSON is the content that call.decided names as Reasons; schemas/verdict specifies it. actions are
// those the call was asked about.
func (d Decision) JSON(actions []string) []byte {
	return verdict.Verdict{Actions: actions, Decision: d.Verdict, Reasons: d.Reasons}.Encode()
}

// Actions lists the actions that the call takes, in the schema's order.
func (in Input) Actions() []string {
	r := in.Reach
	var actions []string
	for _, a := range []struct {
		name  string
		taken bool
	}{
		{"read", len(r.Read) > 0 || in.Effect == "read"},
		{"write", len(r.Written) > 0 || in.Effect == "write"},
		{"delete", len(r.Deleted) > 0 || in.Effect == "delete" || r.RecursiveDelete},
		{"execute", in.Executes},
		{"network", r.UsesNetwork || in.Scope == "external"},
	} {
		if a.taken {
			actions = append(actions, a.name)
		}
	}
	if len(actions) == 0 {
		return []string{"none"}
	}
	return actions
}

// Decide asks the policy about every action of the call. One denial denies, else one hold holds. An
// error in any policy denies: a policy that cannot be evaluated cannot be relied on not to forbid.
func (p *Policy) Decide(in Input) Decision {
	request, entities := in.request(p.actions)
	verdict := Allow
	var permitted, held, denied, broken []Reason
	for _, action := range in.Actions() {
		request.Action = cedar.NewEntityUID("Action", cedar.String(action))
		rules := p.on[action]
		yes, why := cedar.Authorize(rules.permits, entities, request)
		_, not := cedar.Authorize(rules.forbids, entities, request)
		broken = errorsOf(broken, why, not)
		here, holds := rules.forbids.matched(not)
		switch {
		case yes == cedar.Deny:
			denied = append(denied, Reason{Text: "no policy permits the action " + action})
			denied = append(denied, here...)
			verdict = Deny
		case len(here) == 0:
			for _, m := range why.Reasons {
				permitted = append(permitted, rules.permits.find(m.PolicyID).because())
			}
		case holds:
			held = append(held, here...)
			if verdict == Allow {
				verdict = Hold
			}
		default:
			denied = append(denied, here...)
			verdict = Deny
		}
	}
	switch {
	case len(broken) > 0:
		return Decision{Deny, once(broken), int64(len(once(broken)))}
	case verdict == Deny:
		return Decision{Deny, once(denied), 0}
	case verdict == Hold:
		return Decision{Hold, once(held), 0}
	}
	return Decision{Allow, once(permitted), 0}
}

// matched returns the reasons of the forbids that matched. holds is false if one of them has no
// @hold; then only those that deny are returned.
func (r rules) matched(d cedar.Diagnostic) (reasons []Reason, holds bool) {
	var plain []Reason
	for _, m := range d.Reasons {
		one := r.find(m.PolicyID)
		if !one.held {
			plain = append(plain, one.because())
		}
		reasons = append(reasons, one.because())
	}
	if len(plain) > 0 {
		return plain, false
	}
	return reasons, true
}

func errorsOf(into []Reason, diagnostics ...cedar.Diagnostic) []Reason {
	for _, d := range diagnostics {
		for _, e := range d.Errors {
			into = append(into, Reason{ID: string(e.PolicyID), Line: e.Position.Line, Error: e.Message,
				Text: "the policy could not be evaluated, so the call is denied"})
		}
	}
	return into
}

func (r rule) because() Reason {
	text := r.reason
	if r.held {
		text = r.hold
	}
	return Reason{ID: r.id, Text: text, Advice: r.advice, Line: r.line}
}

// once drops what was said before: several actions match the same policies.
func once(list []Reason) []Reason {
	var out []Reason
	for _, r := range list {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// facts are the entities of one request. The actions' never change and come with the policy.
type facts struct {
	agent   cedar.Entity
	actions cedar.EntityMap
}

// Get implements cedar's EntityGetter. Runs and tools have no attributes and no parents.
func (f facts) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	switch uid.Type {
	case "Action":
		e, ok := f.actions[uid]
		return e, ok
	case "Agent":
		return f.agent, uid == f.agent.UID
	}
	return cedar.Entity{}, false
}

// actionNames are the schema's actions, groups apart.
func actionNames() []string { return []string{"none", "read", "write", "delete", "execute", "network"} }

// actionGroups are the actions with their parents, as the schema has them.
func actionGroups() cedar.EntityMap {
	m := cedar.EntityMap{}
	change := cedar.NewEntityUIDSet(cedar.NewEntityUID("Action", "change"))
	for _, name := range []cedar.String{"write", "delete", "execute", "network"} {
		uid := cedar.NewEntityUID("Action", name)
		m[uid] = cedar.Entity{UID: uid, Parents: change}
	}
	return m
}

// request makes Cedar's request, without its action.
func (in Input) request(actions cedar.EntityMap) (cedar.Request, facts) {
	agent := cedar.NewEntityUID("Agent", cedar.String(in.Run+in.Agent))
	run := cedar.NewEntityUID("Run", cedar.String(in.Run))
	entities := facts{actions: actions, agent: cedar.Entity{UID: agent, Parents: cedar.NewEntityUIDSet(run),
		Attributes: cedar.NewRecord(cedar.RecordMap{"path": cedar.String(in.Agent),
			"depth": cedar.Long(depth(in.Agent)), "model": cedar.String(in.Model)})}}
	return cedar.Request{Principal: agent, Resource: cedar.NewEntityUID("Tool", cedar.String(in.Tool)),
		Context: cedar.NewRecord(in.context())}, entities
}

func depth(agent string) int {
	if agent == "/" {
		return 0
	}
	return strings.Count(agent, "/")
}

func (in Input) context() cedar.RecordMap {
	f := in.Reach
	weekday := (int(in.Time.UTC().Weekday())+6)%7 + 1
	return cedar.RecordMap{
		"effect": cedar.String(in.Effect), "scope": cedar.String(in.Scope),
		"idempotent": cedar.Boolean(in.Idempotent), "sandbox": cedar.Long(in.Sandbox),
		"read": paths(f.Read), "written": paths(f.Written), "deleted": paths(f.Deleted),
		"files": cedar.Long(len(f.Read) + len(f.Written) + len(f.Deleted)),
		"hosts": hosts(f.Hosts), "programs": set(f.Programs),
		"touchesGit": cedar.Boolean(f.TouchesGit), "touchesSecrets": cedar.Boolean(f.TouchesSecrets),
		"outsideTree": cedar.Boolean(f.OutsideTree), "writesOutside": cedar.Boolean(f.WritesOutside),
		"recursiveDelete": cedar.Boolean(f.RecursiveDelete), "deletesTree": cedar.Boolean(f.DeletesTree),
		"destructive":     cedar.Boolean(f.Destructive),
		"rewritesHistory": cedar.Boolean(f.RewritesHistory), "destroysHistory": cedar.Boolean(f.DestroysHistory),
		"publishes": cedar.Boolean(f.Publishes), "installsPackages": cedar.Boolean(f.InstallsPackages),
		"usesNetwork": cedar.Boolean(f.UsesNetwork), "reachesPrivate": cedar.Boolean(f.ReachesPrivate),
		"reachesMetadata": cedar.Boolean(f.ReachesMetadata), "escalates": cedar.Boolean(f.Escalates),
		"opaque": cedar.Boolean(f.Opaque), "unresolved": cedar.Boolean(f.Unresolved),
		"attempt": cedar.Long(in.Attempt), "budgetUsed": cedar.Long(in.BudgetUsed),
		"hour": cedar.Long(in.Time.UTC().Hour()), "weekday": cedar.Long(weekday),
	}
}

func set(list []string) cedar.Set {
	values := make([]cedar.Value, len(list))
	for i, s := range list {
		values[i] = cedar.String(s)
	}
	return cedar.NewSet(values...)
}

// paths makes the set that the schema describes: each path, its directories, extension and name.
func paths(list []string) cedar.Set {
	values := make([]cedar.Value, 0, 4*len(list))
	last := ""
	for _, p := range list {
		values = append(values, cedar.String(p))
		if dir := path.Dir(p); dir != last { // the list is sorted: neighbours share directories
			last = dir
			for ; dir != "." && dir != "/"; dir = path.Dir(dir) {
				values = append(values, cedar.String(dir+"/"))
			}
		}
		base := path.Base(p)
		values = append(values, cedar.String("**/"+base))
		if ext := path.Ext(base); ext != "" && ext != "." {
			values = append(values, cedar.String("*"+ext))
		}
	}
	return cedar.NewSet(values...)
}

// hosts adds *.domain for every domain above a host. An address has none.
func hosts(list []string) cedar.Set {
	values := make([]cedar.Value, 0, 3*len(list))
	for _, h := range list {
		values = append(values, cedar.String(h))
		if strings.Contains(h, ":") || strings.Trim(h, "0123456789.") == "" {
			continue
		}
		for {
			_, rest, ok := strings.Cut(h, ".")
			if !ok {
				break
			}
			h = rest
			values = append(values, cedar.String("*."+h))
		}
	}
	return cedar.NewSet(values...)
}
