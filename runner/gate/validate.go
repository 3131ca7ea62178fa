package gate

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

//go:embed schema.cedarschema
var schemaText []byte

// Schema is the text of the schema that policies are written against, with its documentation.
func Schema() string { return string(schemaText) }

// validator checks the policies of one file.
type validator struct {
	file   string
	text   string
	schema *validate.Validator
	seen   map[string]int // id → line
}

func newValidator(file, text string) (*validator, error) {
	var s schema.Schema
	s.SetFilename("schema.cedarschema")
	if err := s.UnmarshalCedar(schemaText); err != nil {
		return nil, fmt.Errorf("read policy schema: %w", err)
	}
	resolved, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("read policy schema: %w", err)
	}
	return &validator{file, text, validate.New(resolved), map[string]int{}}, nil
}

// rule checks one policy, whose text ends before the offset end.
func (v *validator) rule(p *cedar.Policy, end int) (rule, error) {
	at := p.Position()
	r := rule{line: at.Line, policy: p}
	var wrong []error
	fail := func(line int, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s:%d: %s", v.file, line, fmt.Sprintf(format, args...)))
	}
	wrong = append(wrong, v.annotations(&r)...)
	tree := (*ast.Policy)(p.AST())
	source := v.text[min(at.Offset, end):end]
	if err := v.schema.Policy("", tree); err != nil {
		for line := range strings.Lines(err.Error()) {
			line = strings.TrimSpace(line)
			fail(at.Line+lineOf(source, line), "%s", line)
		}
	}
	for _, text := range unknownWords(tree) {
		fail(at.Line+lineOf(source, "`"+text.value+"`"), "%s is compared with %q, which it never is; it is one of %s",
			text.attribute, text.value, strings.Join(text.known, ", "))
	}
	if neverApplies(tree) {
		fail(at.Line, "the policy can never apply: its conditions are false whatever the call")
	}
	return r, errors.Join(wrong...)
}

func (v *validator) annotations(r *rule) (wrong []error) {
	fail := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s:%d: %s", v.file, r.line, fmt.Sprintf(format, args...)))
	}
	notes := r.policy.Annotations()
	for _, key := range slices.Sorted(keys(notes)) {
		value := string(notes[types.AnnotationKey(key)])
		switch key {
		case "id":
			r.id = value
		case "hold":
			r.hold, r.held = value, true
		case "reason":
			r.reason = value
		case "advice":
			r.advice = value
		default:
			fail("unknown annotation @%s; there are @id, @hold, @reason and @advice", key)
		}
		if strings.TrimSpace(value) == "" {
			fail("@%s is empty", key)
		}
	}
	if first, ok := v.seen[r.id]; ok && r.id != "" {
		fail("@id(%q) stands already at line %d", r.id, first)
	}
	v.seen[r.id] = r.line
	switch {
	case r.id == "":
		fail("the policy has no name: add @id(\"…\") before it")
	case len(r.id) > 200:
		fail("@id is %d bytes long, at most 200 are taken", len(r.id))
	}
	if r.held && r.policy.Effect() == cedar.Permit {
		fail("@hold stands on a permit; a call is held by a forbid")
	}
	return wrong
}

func keys(notes cedar.Annotations) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range notes {
			if !yield(string(k)) {
				return
			}
		}
	}
}

// lineOf finds the line, counted from 0, of the first name in backquotes (or, failing that, its last
// part) within the policy's own text: the validator gives no positions.
func lineOf(source, message string) int {
	for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(message, -1) {
		name := quoted[1]
		for _, part := range []string{name, name[strings.LastIndexAny(name, ".:")+1:], strings.Trim(name, `"`)} {
			if i := strings.Index(source, part); i >= 0 && part != "" {
				return strings.Count(source[:i], "\n")
			}
		}
	}
	return 0
}

// wordUse is a comparison of an attribute with a text that it never has.
type wordUse struct {
	attribute, value string
	known            []string
}

// words lists the attributes of the context that have a few known values.
func words(attribute string) []string {
	switch attribute {
	case "effect":
		return []string{"none", "read", "write", "delete"}
	case "scope":
		return []string{"workspace", "machine", "external"}
	}
	return nil
}

// unknownWords finds comparisons such as context.effect == "writes". Cedar's types cannot.
func unknownWords(p *ast.Policy) (found []wordUse) {
	check := func(a, b ast.IsNode) {
		access, ok := a.(ast.NodeTypeAccess)
		value, isValue := b.(ast.NodeValue)
		if !ok || !isValue {
			return
		}
		text, isText := value.Value.(types.String)
		known := words(string(access.Value))
		variable, _ := access.Arg.(ast.NodeTypeVariable)
		if isText && known != nil && variable.Name == "context" && !slices.Contains(known, string(text)) {
			found = append(found, wordUse{"context." + string(access.Value), string(text), known})
		}
	}
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			switch n := n.(type) {
			case ast.NodeTypeEquals:
				check(n.Left, n.Right)
				check(n.Right, n.Left)
			case ast.NodeTypeNotEquals:
				check(n.Left, n.Right)
				check(n.Right, n.Left)
			}
			return true
		})
	}
	return found
}

// neverApplies says whether a condition of the policy is false whatever the call: by evaluating it
// with everything unknown, and by what "and", "or" and "not" of constants come to.
func neverApplies(p *ast.Policy) bool {
	_, keep := eval.PartialPolicy(eval.Env{
		Principal: eval.Variable("principal"),
		Action:    eval.Variable("action"),
		Resource:  eval.Variable("resource"),
		Context:   eval.Variable("context"),
		Entities:  types.EntityMap{},
	}, p)
	return !keep || slices.ContainsFunc(p.Conditions, func(c ast.ConditionType) bool {
		return always(c.Body, c.Condition == ast.ConditionUnless)
	})
}

// always says whether n can only have this value (or be an error).
func always(n ast.IsNode, value bool) bool {
	switch n := n.(type) {
	case ast.NodeValue:
		return n.Value == types.Boolean(value)
	case ast.NodeTypeNot:
		return always(n.Arg, !value)
	case ast.NodeTypeAnd:
		if value {
			return always(n.Left, true) && always(n.Right, true)
		}
		return always(n.Left, false) || always(n.Right, false)
	case ast.NodeTypeOr:
		if value {
			return always(n.Left, true) || always(n.Right, true)
		}
		return always(n.Left, false) && always(n.Right, false)
	}
	return false
}
