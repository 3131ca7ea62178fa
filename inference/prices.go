package inference

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"tachograph/schemas/price"
)

// Prices tells what models cost, and since when. A model that no list names has no price, which is
// not the same as costing nothing. It never changes after [OpenPrices].
//
// A list is YAML or JSON:
//
//	prices:
//	  - model: openai/gpt-*     # provider/name; * is any number of characters, / too
//	    from: 2026-01-01        # the first day, UTC
//	    input: "2.50"           # US dollars per million tokens
//	    cached: "0.25"          # input from the provider's cache; absent: as input
//	    output: "10"            # reasoning included
//	    source: where it can be read
//	    until: 2026-06-30       # the last day; may be absent
//
// Of the entries that hold at a time, one of the user's list comes before one of the built-in list;
// within a list the more exact name (more characters besides *) comes first, then the later day.
//
// A price that depends on more than these three counts (a fee a request, a long context, a batch)
// has no place here: leave it out, so that the cost shows as unknown.
type Prices struct {
	lists [][]Price // in the order in which they are asked, each sorted: the first that holds counts
}

// Price is one entry of a list.
type Price struct {
	Model  string    // pattern
	From   time.Time // midnight UTC; the price holds from here
	Until  time.Time // and does not any more from here; zero: nothing follows
	Rate   price.Rate
	Source string // for people
}

//go:embed prices.yaml
var builtInPrices []byte

// maxPrices bounds a list, in bytes.
const maxPrices = 4 << 20

// OpenPrices reads the list in file, which comes before the built-in one; empty: there is none. An
// error names the entry that is wrong: with half of a list, costs would be wrong without a word.
func OpenPrices(file string) (Prices, error) {
	builtIn, err := parsePrices(builtInPrices)
	if err != nil {
		return Prices{}, fmt.Errorf("read built-in prices: %w", err)
	}
	if file == "" {
		return Prices{lists: [][]Price{builtIn}}, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return Prices{}, fmt.Errorf("read prices: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPrices+1))
	if err == nil && len(text) > maxPrices {
		err = fmt.Errorf("more than %d bytes", maxPrices)
	}
	if err != nil {
		return Prices{}, fmt.Errorf("read prices: %w", err)
	}
	own, err := parsePrices(text)
	if err != nil {
		return Prices{}, fmt.Errorf("read prices %s: %w", file, err)
	}
	return Prices{lists: [][]Price{own, builtIn}}, nil
}

// For is the price of a model ([Provider.Name]) at a time; ok is false if none is known.
func (p Prices) For(model string, at time.Time) (found Price, ok bool) {
	for _, list := range p.lists {
		for _, entry := range list {
			if !at.Before(entry.From) && (entry.Until.IsZero() || at.Before(entry.Until)) && matches(entry.Model, model) {
				return entry, true
			}
		}
	}
	return Price{}, false
}

// Rate is For without what is for people, as the runner wants it.
func (p Prices) Rate(model string, at time.Time) (price.Rate, bool) {
	found, ok := p.For(model, at)
	return found.Rate, ok
}

func parsePrices(text []byte) ([]Price, error) {
	var list struct {
		Prices []priceText `json:"prices"`
	}
	if err := yaml.UnmarshalStrict(text, &list); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "error unmarshaling JSON: while decoding JSON: "))
	}
	if list.Prices == nil {
		return nil, errors.New("it has no `prices:`")
	}
	prices := make([]Price, 0, len(list.Prices))
	for i, written := range list.Prices {
		p, err := written.parse()
		if err != nil {
			return nil, fmt.Errorf("price %d (model %q): %w", i+1, bounded(written.Model, 100), err)
		}
		prices = append(prices, p)
	}
	slices.SortStableFunc(prices, before)
	for i := 1; i < len(prices); i++ {
		if p := prices[i]; p.Model == prices[i-1].Model && p.From.Equal(prices[i-1].From) {
			return nil, fmt.Errorf("model %q has two prices from %s: remove one", p.Model, p.From.Format(time.DateOnly))
		}
	}
	return prices, nil
}

// before orders a list: the more exact name, then the later day.
func before(a, b Price) int {
	exact := func(p Price) int { return len(p.Model) - strings.Count(p.Model, "*") }
	if d := exact(b) - exact(a); d != 0 {
		return d
	}
	if d := strings.Compare(a.Model, b.Model); d != 0 {
		return d
	}
	return b.From.Compare(a.From)
}

// priceText is an entry as it is written.
type priceText struct {
	Model  string `json:"model"`
	From   string `json:"from"`
	Until  string `json:"until"`
	Input  string `json:"input"`
	Cached string `json:"cached"`
	Output string `json:"output"`
	Source string `json:"source"`
}

func (t priceText) parse() (p Price, err error) {
	p.Model, p.Source = t.Model, t.Source
	switch {
	case !strings.Contains(t.Model, "/"):
		return p, errors.New("model must be provider/name, as kimi/kimi-k2.6")
	case strings.TrimSpace(t.Source) == "":
		return p, errors.New("source is missing: say where the price can be read")
	}
	if p.From, err = day("from", t.From); err != nil {
		return p, err
	}
	if t.Until != "" {
		if p.Until, err = day("until", t.Until); err != nil {
			return p, err
		}
		if p.Until = p.Until.AddDate(0, 0, 1); !p.From.Before(p.Until) {
			return p, errors.New("until is before from")
		}
	}
	if t.Cached == "" {
		t.Cached = t.Input
	}
	for _, f := range []struct {
		name, text string
		into       *int64
	}{{"input", t.Input, &p.Rate.Input}, {"cached", t.Cached, &p.Rate.Cached}, {"output", t.Output, &p.Rate.Output}} {
		if *f.into, err = price.ParseUSD(f.text); err != nil {
			return p, fmt.Errorf("%s is %q: %w", f.name, bounded(f.text, 100), err)
		}
	}
	return p, nil
}

func day(field, text string) (time.Time, error) {
	d, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return d, fmt.Errorf("%s is %q: write a day as 2026-01-31", field, bounded(text, 100))
	}
	return d, nil
}

// matches compares a name with a pattern. Each part is taken at its first place, which finds a match
// if there is one.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok || len(parts) == 1 {
		return ok && rest == ""
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return strings.HasSuffix(rest, parts[last])
}
