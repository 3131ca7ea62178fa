package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"tachograph/runner/gate"
	"tachograph/schemas/journal"
	"tachograph/schemas/price"
)

// Spec is what a user asks for: one run. It is read from YAML or JSON; the fields of the article's
// POST /v1/agents mean here what they mean there. A field that is not known is refused by name.
type Spec struct {
	Model     string   `json:"model"`               // provider/name, or a bare name of a configured provider
	Prompt    string   `json:"prompt"`              // the goal
	Directory string   `json:"directory,omitempty"` // the user's directory, absolute or relative to the spec's file
	Tools     []string `json:"tools,omitempty"`     // filesystem, bash; both if absent

	MaxSteps          int64       `json:"max_steps,omitempty"`           // turns of the model; 0: 1,000
	SnapshotInterval  *int64      `json:"snapshot_interval,omitempty"`   // seconds; absent: 900
	StatePersistence  *bool       `json:"state_persistence,omitempty"`   // absent: true
	RollbackOnFailure bool        `json:"rollback_on_failure,omitempty"` //
	MaxRollbacks      *int64      `json:"max_rollbacks,omitempty"`       // absent: 2
	Check             string      `json:"check,omitempty"`               // a command that must succeed before the run is done
	Budget            Budget      `json:"budget,omitzero"`
	Prices            *Prices     `json:"prices,omitempty"`
	Options           ModelOption `json:"model_options,omitzero"`
	Context           Context     `json:"context,omitzero"`

	Policy    string  `json:"policy,omitempty"`      // a file of Cedar policies; absent: the built-in cautious policy
	HoldFor   int64   `json:"hold_for,omitempty"`    // seconds after which a held call expires; 0: it waits
	OnInDoubt string  `json:"on_in_doubt,omitempty"` // ask (default), skip or retry
	Capture   string  `json:"capture,omitempty"`     // "" or "all": files that look like secrets are stored too
	Apply     string  `json:"apply,omitempty"`       // "" or "end": bring the result to the directory when the run is done
	Sandbox   Sandbox `json:"sandbox,omitzero"`

	// RequestKey names the request that asked for the run (web/requests), so that a process that died
	// before it could answer finds the run again.
	RequestKey string `json:"request_key,omitempty"`
}

// Budget stops a run that spends too much. Zero means no limit.
type Budget struct {
	Tokens  int64  `json:"tokens,omitempty"`   // input + output
	CostUSD string `json:"cost_usd,omitempty"` // decimal, as "12.50"; the model's price must be known
	Seconds int64  `json:"seconds,omitempty"`  // active time
}

// Prices are US dollars per million tokens, decimal. They come before those that Config.Rates knows.
// An answer without prices counts as unpriced, never as free.
type Prices struct {
	Input  string `json:"input"`
	Cached string `json:"cached,omitempty"` // absent: as input
	Output string `json:"output"`
}

// ModelOption is passed on to the provider.
type ModelOption struct {
	Temperature string `json:"temperature,omitempty"` // decimal
	MaxTokens   int64  `json:"max_tokens,omitempty"`
	Thinking    string `json:"thinking,omitempty"` // enabled or disabled, where the model can
}

// Context bounds what is sent to the model: over MaxTokens (estimated as a quarter of the bytes)
// the middle of the conversation is dropped, but for its first messages and the newest KeepTokens.
type Context struct {
	MaxTokens  int64 `json:"max_tokens,omitempty"`  // absent: 200,000
	KeepTokens int64 `json:"keep_tokens,omitempty"` // absent: half of MaxTokens
}

// Sandbox says where tools run.
type Sandbox struct {
	Disabled bool              `json:"disabled,omitempty"`  // run tools without any sandbox; journalled
	MinTier  int               `json:"min_tier,omitempty"`  // 1: refuse where only tier 2 works
	ReadOnly []string          `json:"read_only,omitempty"` // more host paths that tools may read
	Env      map[string]string `json:"env,omitempty"`       // more environment for tools
}

// notBuilt are fields of the article that a later release brings, refused by name until then.
var notBuilt = []string{"agent_swarm"}

// plain says what a field should be in the words of a spec, where encoding/json names Go's types.
func plain(err error) string {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return strings.TrimPrefix(err.Error(), "json: ")
	}
	due := map[reflect.Kind]string{reflect.String: "a text", reflect.Bool: "true or false", reflect.Slice: "a list", reflect.Map: "a mapping",
		reflect.Struct: "a mapping", reflect.Int: "a whole number", reflect.Int64: "a whole number"}[wrong.Type.Kind()]
	if due == "" {
		due = "something else"
	}
	is := map[string]string{"string": "a text", "object": "a mapping", "array": "a list", "bool": "true or false"}[wrong.Value]
	if is == "" {
		is = "the " + wrong.Value
	}
	return fmt.Sprintf("field %q is %s where %s is due", wrong.Field, is, due)
}

// ParseSpec reads a spec. file is its path: it gives relative paths their meaning, and errors a name.
func ParseSpec(text []byte, file string) (Spec, error) {
	var s Spec
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return s, fmt.Errorf("read spec %s: %w", file, err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(asJSON, &fields); err != nil {
		return s, fmt.Errorf("read spec %s: it is not a mapping of fields such as `model:` and `prompt:`", file)
	}
	for _, name := range notBuilt {
		if _, ok := fields[name]; ok {
			return s, fmt.Errorf("read spec %s: field %q is not supported by this tacho yet: remove it", file, name)
		}
	}
	dec := json.NewDecoder(bytes.NewReader(asJSON))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("read spec %s: %s", file, plain(err))
	}
	base := filepath.Dir(file)
	s.Directory, s.Policy = resolve(base, s.Directory), resolveFile(base, s.Policy)
	if name, ok := strings.CutPrefix(s.Model, "script/"); ok {
		s.Model = "script/" + resolve(base, name)
	}
	if err := s.Validate(); err != nil {
		return s, fmt.Errorf("read spec %s: %w", file, err)
	}
	return s, nil
}

func resolve(base, path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

func resolveFile(base, path string) string {
	if path == "" {
		return ""
	}
	return resolve(base, path)
}

// Validate says what is wrong with the first field that is wrong.
func (s Spec) Validate() error {
	switch {
	case s.Model == "":
		return errors.New("model is missing: name one, as `model: kimi/kimi-k2.6`")
	case strings.TrimSpace(s.Prompt) == "":
		return errors.New("prompt is missing: say what the agent should do")
	case !slices.Contains([]string{"", "ask", "skip", "retry"}, s.OnInDoubt):
		return fmt.Errorf("on_in_doubt is %q: use ask, skip or retry", s.OnInDoubt)
	case !slices.Contains([]string{"", "all"}, s.Capture):
		return fmt.Errorf("capture is %q: leave it out or use all", s.Capture)
	case !slices.Contains([]string{"", "end"}, s.Apply):
		return fmt.Errorf("apply is %q: leave it out or use end", s.Apply)
	case s.Sandbox.MinTier < 0 || s.Sandbox.MinTier > 2:
		return fmt.Errorf("sandbox.min_tier is %d: use 1 or 2", s.Sandbox.MinTier)
	}
	for name, n := range map[string]int64{"max_steps": s.MaxSteps, "budget.tokens": s.Budget.Tokens,
		"budget.seconds": s.Budget.Seconds, "hold_for": s.HoldFor, "context.max_tokens": s.Context.MaxTokens,
		"context.keep_tokens": s.Context.KeepTokens, "snapshot_interval": s.snapshotSeconds(), "max_rollbacks": s.maxRollbacks()} {
		if n < 0 || n > journal.MaxInt/int64(time.Second) {
			return fmt.Errorf("%s is %d: out of range", name, n)
		}
	}
	if _, err := s.limits(); err != nil {
		return err
	}
	_, err := s.Prices.rate()
	return err
}

func (s Spec) snapshotSeconds() int64 {
	if s.SnapshotInterval == nil {
		return 900
	}
	return *s.SnapshotInterval
}

func (s Spec) maxRollbacks() int64 {
	if s.MaxRollbacks == nil {
		return 2
	}
	return *s.MaxRollbacks
}

func (s Spec) holdFor() time.Duration { return time.Duration(s.HoldFor) * time.Second }

// options adds to what the spec names the directories of the host's programs, so that tools find
// the compilers that the user has.
func (s Sandbox) options() gate.SandboxOptions {
	return gate.SandboxOptions{Off: s.Disabled, MinTier: s.MinTier, ReadOnly: s.ReadOnly, Env: s.Env}
}

func (s Spec) persistent() bool { return s.StatePersistence == nil || *s.StatePersistence }

func (s Spec) toolsets() []string {
	if len(s.Tools) == 0 {
		return []string{"filesystem", "bash"}
	}
	return s.Tools
}

func (c Context) limits() (most, keep int64) {
	most, keep = c.MaxTokens, c.KeepTokens
	if most == 0 {
		most = 200_000
	}
	if keep == 0 || keep > most {
		keep = most / 2
	}
	return most, keep
}

// limits are the spec's budgets as the journal holds them.
func (s Spec) limits() (journal.Limits, error) {
	l := journal.Limits{Steps: s.MaxSteps, Tokens: s.Budget.Tokens, Seconds: s.Budget.Seconds}
	if l.Steps == 0 {
		l.Steps = 1000
	}
	var err error
	if s.Budget.CostUSD != "" {
		l.CostNUSD, err = nanoUSD("budget.cost_usd", s.Budget.CostUSD)
	}
	return l, err
}

func (p *Prices) rate() (*price.Rate, error) {
	if p == nil {
		return nil, nil
	}
	var r price.Rate
	var err error
	if r.Input, err = nanoUSD("prices.input", p.Input); err != nil {
		return nil, err
	}
	if r.Output, err = nanoUSD("prices.output", p.Output); err != nil {
		return nil, err
	}
	r.Cached = r.Input
	if p.Cached != "" {
		r.Cached, err = nanoUSD("prices.cached", p.Cached)
	}
	return &r, err
}

func nanoUSD(field, text string) (int64, error) {
	n, err := price.ParseUSD(text)
	if err != nil {
		return 0, fmt.Errorf("%s is %q: %w", field, text, err)
	}
	return n, nil
}
