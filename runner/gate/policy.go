package gate

import (
	_ "embed"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	publicast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

//go:embed cautious.cedar
var cautious string

// Cautious is the text of the built-in policy.
func Cautious() string { return cautious }

// Engine names the policy engine in call.decided. Decisions that no policy made (arguments that do
// not fit the tool) carry EngineTools.
const (
	Engine      = "cedar"
	EngineTools = "tools"
)

// maxPolicy bounds the text of a policy file in bytes.
const maxPolicy = 1 << 20

// Policy is a checked set of Cedar policies. It is immutable.
type Policy struct {
	text    string
	ids     []string
	actions cedar.EntityMap
	on      map[string]ruleSet // by action: the policies whose scope has it
}

// ruleSet is what may match a request for one action.
type ruleSet struct{ permits, forbids rules }

// rule is one policy with what its annotations say.
type rule struct {
	id, hold, reason, advice string
	held                     bool // it has @hold
	line                     int
	policy                   *cedar.Policy
}

// rules is in order of the file, so that decisions name them in one order.
type rules []rule

// All implements cedar.PolicyIterator.
func (r rules) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, one := range r {
			if !yield(cedar.PolicyID(one.id), one.policy) {
				return
			}
		}
	}
}

// find returns the rule with that id.
func (r rules) find(id cedar.PolicyID) rule {
	for _, one := range r {
		if one.id == string(id) {
			return one
		}
	}
	return rule{id: string(id)}
}

// NewPolicy reads a policy file. name stands in errors, which give file, line and column. A policy
// that could not work as its author thinks is refused as a whole: unknown actions, attributes or
// annotations, a missing or doubled @id, a rule that can never apply.
func NewPolicy(name, text string) (*Policy, error) {
	if len(text) > maxPolicy {
		return nil, fmt.Errorf("read policy %s: %d bytes, at most %d are taken", name, len(text), maxPolicy)
	}
	list, err := cedar.NewPolicyListFromBytes(name, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("read policy %s", parseError(name, err))
	}
	check, err := newValidator(name, text)
	if err != nil {
		return nil, err
	}
	p := &Policy{text: text, actions: actionGroups(), on: map[string]ruleSet{}}
	var wrong []error
	permits := 0
	for i, one := range list {
		end := len(text)
		if i+1 < len(list) {
			end = list[i+1].Position().Offset
		}
		r, err := check.rule(one, end)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if one.Effect() == cedar.Permit {
			permits++
		}
		p.add(r)
	}
	if len(wrong) == 0 && permits == 0 {
		wrong = append(wrong, fmt.Errorf("%s: no policy permits anything: every call would be denied", name))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, fmt.Errorf("read policy %w", err)
	}
	return p, nil
}

// Check says what is wrong with the text of a policy file, nil if nothing is. name is as NewPolicy takes it.
func Check(name, text string) error {
	_, err := NewPolicy(name, text)
	return err
}

// Text is the policy as it was read.
func (p *Policy) Text() string { return p.text }

// IDs lists the @id of every policy in order of the file.
func (p *Policy) IDs() []string { return slices.Clone(p.ids) }

// add puts a rule into the set of every action that its scope has, without that part of the scope:
// deciding it once here instead of at each call halves the time of a decision.
func (p *Policy) add(r rule) {
	p.ids = append(p.ids, r.id)
	tree := *(*ast.Policy)(r.policy.AST())
	scope := tree.Action
	tree.Action = ast.ScopeTypeAll{}
	r.policy = cedar.NewPolicyFromAST((*publicast.Policy)(&tree))
	for _, action := range actionNames() {
		if !inScope(scope, cedar.NewEntityUID("Action", cedar.String(action)), p.actions) {
			continue
		}
		set := p.on[action]
		if r.policy.Effect() == cedar.Permit {
			set.permits = append(set.permits, r)
		} else {
			set.forbids = append(set.forbids, r)
		}
		p.on[action] = set
	}
}

// inScope evaluates the action part of a policy's scope.
func inScope(scope ast.IsActionScopeNode, action cedar.EntityUID, groups cedar.EntityMap) bool {
	in := func(group cedar.EntityUID) bool {
		return action == group || groups[action].Parents.Contains(group)
	}
	switch s := scope.(type) {
	case ast.ScopeTypeEq:
		return action == s.Entity
	case ast.ScopeTypeIn:
		return in(s.Entity)
	case ast.ScopeTypeInSet:
		return slices.ContainsFunc(s.Entities, in)
	}
	return true
}

// parseError turns "parser error: parse error at <input>:3:4 …" into "name:3:4: …".
func parseError(name string, err error) string {
	text := strings.TrimPrefix(err.Error(), "parser error: ")
	at := regexp.MustCompile(`^parse error at .*?:(\d+):(\d+) (.*)$`).FindStringSubmatch(strings.ReplaceAll(text, "\n", " "))
	if at == nil {
		return name + ": " + text
	}
	return fmt.Sprintf("%s:%s:%s: syntax error at %s", name, at[1], at[2], at[3])
}
