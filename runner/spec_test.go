package runner

import (
	"strings"
	"testing"

	"tachograph/schemas/journal"
)

const leastSpec = "model: kimi/kimi-k2.6\nprompt: Do it.\n"

func TestParseSpec(t *testing.T) {
	t.Parallel()
	s, err := ParseSpec([]byte(leastSpec+"directory: sub\nmodel_options: {temperature: '0.6'}\nbudget: {cost_usd: '12.5', tokens: 10}\nprices: {input: '0.60', output: '2.5'}\n"), "/a/b/spec.yaml")
	if err != nil {
		t.Fatal(err)
	}
	limits, err := s.limits()
	if err != nil || limits != (journal.Limits{Steps: 1000, Tokens: 10, CostNUSD: 12_500_000_000}) {
		t.Errorf("limits %+v, %v", limits, err)
	}
	if s.Directory != "/a/b/sub" || s.snapshotSeconds() != 900 || !s.persistent() || s.maxRollbacks() != 2 {
		t.Errorf("%+v", s)
	}
	// The article's request, but for what is not built yet.
	article := `{"model":"kimi-k2-6","prompt":"Refactor.","tools":["filesystem","bash"],"max_steps":8000,"state_persistence":true,"snapshot_interval":900,"rollback_on_failure":true}`
	if s, err = ParseSpec([]byte(article), "/x"); err != nil || s.MaxSteps != 8000 || !s.RollbackOnFailure {
		t.Errorf("the article's request: %+v, %v", s, err)
	}
}

// TestParseSpecRefuses: a wrong spec is refused, and the error names the field.
func TestParseSpecRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"prompt: x":                                       "model is missing",
		"model: a/b":                                      "prompt is missing",
		leastSpec + "max_stepz: 3":                        `unknown field "max_stepz"`,
		leastSpec + "budget: {dollars: 3}":                `unknown field "dollars"`,
		leastSpec + "agent_swarm: {}":                     `"agent_swarm" is not supported`,
		leastSpec + "max_steps: many":                     "max_steps",
		leastSpec + "max_steps: -1":                       "max_steps is -1",
		leastSpec + "max_steps: 1\nmax_steps: 2":          "max_steps",
		leastSpec + "on_in_doubt: guess":                  "on_in_doubt",
		leastSpec + "capture: some":                       "capture",
		leastSpec + "apply: now":                          "apply",
		leastSpec + "sandbox: {min_tier: 7}":              "min_tier",
		leastSpec + "budget: {cost_usd: '5'}":             "needs prices",
		leastSpec + "prices: {input: free, output: '1'}":  "prices.input",
		leastSpec + "prices: {input: '1e9', output: '1'}": "prices.input",
		"- a list": "not a mapping",
		"model: [": "read spec",
	} {
		_, err := ParseSpec([]byte(text), "/a/spec.yaml")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	r, err := (&Prices{Input: "0.60", Cached: "0.15", Output: "2.50"}).rates()
	if err != nil {
		t.Fatal(err)
	}
	// 1,000 tokens in, 400 of them cached; 200 out: 600×0.60 + 400×0.15 + 200×2.50 dollars per million.
	if got := r.cost(journal.Tokens{Input: 1000, Cached: 400, Output: 200}); got != 920_000 {
		t.Errorf("%d nano-dollars", got)
	}
	if got := r.cost(journal.Tokens{Input: 1}); got != 600 {
		t.Errorf("one token: %d nano-dollars", got)
	}
}

func TestChangeOfSpec(t *testing.T) {
	t.Parallel()
	s, err := ParseSpec([]byte(leastSpec), "/a/spec.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err = Change{Spec: map[string]string{"max_steps": "7", "sandbox.min_tier": "1", "budget.tokens": "99"}}.apply(s)
	if err != nil || s.MaxSteps != 7 || s.Sandbox.MinTier != 1 || s.Budget.Tokens != 99 || s.Directory != "/a" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := (Change{Spec: map[string]string{"max_stepz": "7"}}).apply(s); err == nil {
		t.Error("an unknown field was accepted")
	}
}

func FuzzParseSpec(f *testing.F) {
	f.Add([]byte(leastSpec))
	f.Add([]byte(`{"model":"a/b","prompt":"x","budget":{"cost_usd":"1"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseSpec(text, "/a/spec.yaml")
		if err == nil && s.Validate() != nil {
			t.Errorf("accepted, and not valid: %+v", s)
		}
	})
}
