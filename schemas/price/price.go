// Package price holds what tokens of a model cost, and how a cost follows from counts.
//
// It is arithmetic only: no list of prices (inference has it), no files, no clock. Money is never a
// floating-point number here, and a price that is not known has no value of its own: who asks for a
// [Rate] is told whether there is one, because 0 means free.
package price

import (
	"errors"
	"math/big"
	"strings"

	"tachograph/schemas/journal"
)

// Rate is what a million tokens cost, in billionths of a US dollar (nUSD): $2.50 are 2,500,000,000.
// The zero value is free.
type Rate struct {
	Input  int64 // what was not in the provider's cache
	Cached int64 // input that was
	Output int64 // reasoning included
}

// Cost of an answer in nUSD, rounded up. input includes cached. A cost beyond what the journal can
// hold, nine million dollars, is that limit: only a count that is wrong reaches it.
func (r Rate) Cost(input, cached, output int64) int64 {
	cached = min(cached, input)
	sum := new(big.Int)
	for _, part := range [][2]int64{{input - cached, r.Input}, {cached, r.Cached}, {output, r.Output}} {
		sum.Add(sum, new(big.Int).Mul(big.NewInt(part[0]), big.NewInt(part[1])))
	}
	const million = 1_000_000
	sum.Add(sum, big.NewInt(million-1)).Quo(sum, big.NewInt(million))
	if !sum.IsInt64() || sum.Int64() > journal.MaxInt {
		return journal.MaxInt
	}
	return sum.Int64()
}

// ErrNotDollars says that a text is no amount of dollars; the caller names the field.
var ErrNotDollars = errors.New(`write dollars as a decimal number, as "12.50"`)

// ErrTooLarge says that an amount is beyond what the journal can hold.
var ErrTooLarge = errors.New("too large")

// maxDigits bounds a text before it is computed with.
const maxDigits = 40

// ParseUSD reads a decimal number of dollars as nUSD. Digits after the ninth place are dropped.
func ParseUSD(text string) (int64, error) {
	if len(text) > maxDigits || strings.Trim(text, "0123456789.") != "" {
		return 0, ErrNotDollars
	}
	value, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, ErrNotDollars
	}
	value.Mul(value, big.NewRat(1_000_000_000, 1))
	nano := new(big.Int).Quo(value.Num(), value.Denom())
	if !nano.IsInt64() || nano.Int64() > journal.MaxInt {
		return 0, ErrTooLarge
	}
	return nano.Int64(), nil
}
