package inference_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tachograph/inference"
	"tachograph/schemas/price"
)

func prices(t *testing.T, text string) (inference.Prices, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prices.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return inference.OpenPrices(file)
}

func on(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at
}

// TestBuiltInPrices: what costs nobody anything is free; nothing else has a price.
func TestBuiltInPrices(t *testing.T) {
	t.Parallel()
	p, err := inference.OpenPrices("")
	if err != nil {
		t.Fatal(err)
	}
	for model, want := range map[string]bool{
		"script/demo.yaml": true, "script//abs/dir/demo.yaml": true, "local/tiny-moe": true,
		"kimi/kimi-k2.6": false, "openai/gpt-5": false, "openai/script/x": false, "script": false, "": false,
	} {
		found, ok := p.For(model, on("2026-11-25T00:00:00Z"))
		if ok != want || found.Rate != (price.Rate{}) {
			t.Errorf("%q: %+v, %v", model, found, ok)
		}
	}
}

const ownPrices = `
prices:
  - {model: "openai/*",     from: 2026-01-01, input: "1", output: "2", source: a}
  - {model: "openai/gpt-*", from: 2026-02-01, input: "3", cached: "0.3", output: "4", source: b}
  - {model: "openai/gpt-*", from: 2026-03-01, input: "5", output: "6", source: c}
  - {model: "openai/*-mini", from: 2026-03-01, until: 2026-03-31, input: "0.000000001", output: "0", source: d}
  - {model: "openai/gpt-5", from: 2026-04-01, input: "7", output: "8", source: e}
  - {model: "script/dear*", from: 2026-01-01, input: "9", output: "9", source: f}
  - {model: "kimi/a*b*b", from: 2026-01-01, input: "10", output: "10", source: g}
`

func TestPricesFor(t *testing.T) {
	t.Parallel()
	p, err := prices(t, ownPrices)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ model, at, source string }{
		{"openai/gpt-5", "2025-12-31T23:59:59Z", ""}, // not yet
		{"openai/gpt-5", "2026-01-01T00:00:00Z", "a"},
		{"openai/gpt-5", "2026-01-31T23:00:00-01:00", "b"}, // midnight UTC counts
		{"openai/gpt-5", "2026-02-28T23:59:59Z", "b"},
		{"openai/gpt-5", "2026-03-01T00:00:00Z", "c"},
		{"openai/gpt-5", "2026-04-01T00:00:00Z", "e"},
		{"openai/gpt-5x", "2026-04-01T00:00:00Z", "c"}, // gpt-5 is the whole name
		{"openai/phi-mini", "2026-03-31T23:59:59Z", "d"},
		{"openai/phi-mini", "2026-04-01T00:00:00Z", "a"}, // its last day is over
		{"openai/org/model", "2026-04-01T00:00:00Z", "a"},
		{"script/dear.yaml", "2026-04-01T00:00:00Z", "f"}, // the user's own before ours
		{"script/cheap.yaml", "2026-04-01T00:00:00Z", "the turns are written down, nobody is asked"},
		{"kimi/a-b-b", "2026-04-01T00:00:00Z", "g"},
		{"kimi/abb", "2026-04-01T00:00:00Z", "g"},
		{"kimi/ab", "2026-04-01T00:00:00Z", ""},
		{"kimi/kimi-k2.6", "2026-04-01T00:00:00Z", ""},
	} {
		found, ok := p.For(tc.model, on(tc.at))
		if found.Source != tc.source || ok != (tc.source != "") {
			t.Errorf("%s at %s: %+v, %v, want source %q", tc.model, tc.at, found, ok, tc.source)
		}
	}
	b, _ := p.Rate("openai/gpt-5", on("2026-02-01T00:00:00Z"))
	c, _ := p.Rate("openai/gpt-5", on("2026-03-01T00:00:00Z"))
	if b != (price.Rate{Input: 3e9, Cached: 3e8, Output: 4e9}) || c != (price.Rate{Input: 5e9, Cached: 5e9, Output: 6e9}) {
		t.Errorf("rates %+v, %+v", b, c)
	}
}

// TestPricesRefuse: a list with a mistake is refused whole, and the error names the entry.
func TestPricesRefuse(t *testing.T) {
	t.Parallel()
	const good = `{model: kimi/x, from: 2026-01-01, input: "1", output: "2", source: s}`
	for text, want := range map[string]string{
		"":                                    "no `prices:`",
		"- a list":                            "cannot unmarshal",
		"price: []":                           `unknown field "price"`,
		"prices: [" + good + "," + good + "]": `"kimi/x" has two prices from 2026-01-01`,
		"prices: [" + strings.Replace(good, "kimi/x", "kimi-k2", 1) + "]":                   `price 1 (model "kimi-k2"): model must be provider/name`,
		"prices: [" + good + "," + strings.Replace(good, "2026-01-01", "1.1.2026", 1) + "]": `price 2 (model "kimi/x"): from is "1.1.2026"`,
		"prices: [" + strings.Replace(good, "from: 2026-01-01, ", "", 1) + "]":              `from is ""`,
		"prices: [" + strings.Replace(good, `input: "1"`, `input: free`, 1) + "]":           `input is "free": write dollars`,
		"prices: [" + strings.Replace(good, `, output: "2"`, "", 1) + "]":                   `output is "": write dollars`,
		"prices: [" + strings.Replace(good, `"2"`, `"2", cached: "-1"`, 1) + "]":            `cached is "-1"`,
		"prices: [" + strings.Replace(good, `"2"`, `"2", until: 2025-12-31`, 1) + "]":       "until is before from",
		"prices: [" + strings.Replace(good, ", source: s", "", 1) + "]":                     "source is missing",
		"prices: [" + strings.Replace(good, "source: s", "source: s, batch: half", 1) + "]": `unknown field "batch"`,
		"prices: [" + good + "]\n#" + strings.Repeat("x", 5<<20):                            "more than 4194304 bytes",
	} {
		if _, err := prices(t, text); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "read prices") {
			t.Errorf("%.80q: error %v, want one with %q", text, err, want)
		}
	}
	if _, err := inference.OpenPrices(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
}
