package runner

import (
	"context"
	"strings"
	"testing"
	"time"

	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
	"tachograph/schemas/price"
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

func TestPricesOfSpec(t *testing.T) {
	t.Parallel()
	for p, want := range map[Prices]price.Rate{
		{Input: "0.60", Cached: "0.15", Output: "2.50"}: {Input: 600_000_000, Cached: 150_000_000, Output: 2_500_000_000},
		{Input: "0.60", Output: "2.50"}:                 {Input: 600_000_000, Cached: 600_000_000, Output: 2_500_000_000},
	} {
		if got, err := p.rate(); err != nil || *got != want {
			t.Errorf("%+v: %+v, %v", p, got, err)
		}
	}
}

// namedModel is a model that is only named.
type namedModel string

func (m namedModel) Name() string                        { return string(m) }
func (namedModel) Frame([]chat.Tool) (chat.Frame, error) { panic("asked") }
func (namedModel) Ask(context.Context, chat.Frame, []chat.Message, func(chat.Delta)) (chat.Answer, error) {
	panic("asked")
}

// TestPrice: the spec's prices come first, then those that are known for the model at the time of the
// answer; what has no price is unpriced, and no budget in dollars can be kept then.
func TestPrice(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	r := New(Config{
		Clock:  func() time.Time { return now },
		Models: func(s Spec) (Model, error) { return namedModel(s.Model), nil },
		Rates: func(model string, at time.Time) (price.Rate, bool) {
			if at.Month() >= time.June {
				return price.Rate{Input: 9e9}, model == "p/known"
			}
			return price.Rate{Input: 1e9, Cached: 5e8, Output: 2e9}, model == "p/known"
		},
	})
	cost := func(s Spec) journal.ModelAnswered {
		t.Helper()
		x, err := r.prepare(s)
		if err != nil {
			t.Fatal(err)
		}
		defer x.cancel()
		body := journal.ModelAnswered{Tokens: journal.Tokens{Input: 1000, Cached: 400, Output: 10}}
		x.price(&body)
		return body
	}
	spec := Spec{Model: "p/known", Budget: Budget{CostUSD: "1"}}
	if b := cost(spec); !b.Priced || b.CostNUSD != 600*1000+400*500+10*2000 {
		t.Errorf("a known price: %+v", b)
	}
	now = now.AddDate(0, 1, 0)
	if b := cost(spec); !b.Priced || b.CostNUSD != 600*9000 {
		t.Errorf("a month later: %+v", b)
	}
	spec.Prices = &Prices{Input: "0", Output: "1"}
	if b := cost(spec); !b.Priced || b.CostNUSD != 10*1000 {
		t.Errorf("the spec's price: %+v", b)
	}
	spec = Spec{Model: "p/unknown"}
	if b := cost(spec); b.Priced || b.CostNUSD != 0 {
		t.Errorf("an unknown price: %+v", b)
	}
	spec.Budget.CostUSD = "1"
	if _, err := r.prepare(spec); err == nil || !strings.Contains(err.Error(), "none is known for p/unknown") {
		t.Errorf("a budget that cannot be kept: %v", err)
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
