package price_test

import (
	"errors"
	"math"
	"testing"

	"tachograph/schemas/journal"
	"tachograph/schemas/price"
)

func TestCost(t *testing.T) {
	t.Parallel()
	kimi := price.Rate{Input: 600_000_000, Cached: 150_000_000, Output: 2_500_000_000}
	for _, tc := range []struct {
		rate                  price.Rate
		input, cached, output int64
		want                  int64
	}{
		{kimi, 1000, 400, 200, 920_000}, // 600×0.60 + 400×0.15 + 200×2.50 dollars per million
		{kimi, 1, 0, 0, 600},
		{kimi, 0, 0, 0, 0},
		{price.Rate{Input: 1}, 1, 0, 0, 1}, // a part of a nano-dollar counts as one
		{price.Rate{Input: 1}, 1_000_000, 0, 0, 1},
		{price.Rate{Input: 1}, 1_000_001, 0, 0, 2},
		{price.Rate{}, math.MaxInt64, 0, math.MaxInt64, 0},
		{kimi, 10, 20, 0, 1500}, // no more can be cached than was sent
		{kimi, math.MaxInt64, 0, math.MaxInt64, journal.MaxInt},
	} {
		if got := tc.rate.Cost(tc.input, tc.cached, tc.output); got != tc.want {
			t.Errorf("%+v × (%d, %d cached, %d) = %d, want %d", tc.rate, tc.input, tc.cached, tc.output, got, tc.want)
		}
	}
}

func TestParseUSD(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "12.50": 12_500_000_000, "0.60": 600_000_000, "0.000000001": 1, "0.0000000019": 1, "9007199.254740991": journal.MaxInt,
	} {
		if got, err := price.ParseUSD(text); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]error{
		"": price.ErrNotDollars, "free": price.ErrNotDollars, "1e9": price.ErrNotDollars, "1/2": price.ErrNotDollars, "-1": price.ErrNotDollars,
		"+1": price.ErrNotDollars, "1,5": price.ErrNotDollars, "1.2.3": price.ErrNotDollars, "0x10": price.ErrNotDollars, ".": price.ErrNotDollars, "1_0": price.ErrNotDollars,
		"00000000000000000000000000000000000000001": price.ErrNotDollars, "9007199.254740992": price.ErrTooLarge, "99999999999999999999": price.ErrTooLarge,
	} {
		if got, err := price.ParseUSD(text); !errors.Is(err, want) {
			t.Errorf("%q: %d, %v, want %v", text, got, err, want)
		}
	}
}
