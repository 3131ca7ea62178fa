package sandbox

import "context"

// Report says what this machine offers, as tried, not as announced.
type Report struct {
	Kernel      string    `json:"kernel"` // release
	Arch        string    `json:"arch"`
	Root        bool      `json:"root"`
	LandlockABI int       `json:"landlock_abi"` // 0: none
	Checks      []Check   `json:"checks"`
	Tier        Tier      `json:"tier"`      // what Open would choose; TierAuto if it would refuse
	TierName    string    `json:"tier_name"` // the same, in words; "none" if it would refuse
	Reason      string    `json:"reason"`    // why that one
	Refused     []Refusal `json:"refused,omitempty"`
}

// Check is one feature.
type Check struct {
	Feature string `json:"feature"`
	State   string `json:"state"` // "ok", "missing", "not reached" (an earlier one is missing)
	Detail  string `json:"detail,omitempty"`
}

// Probe tries both tiers in a temporary directory, without running any tool, and leaves no process. It takes some tens of
// milliseconds.
func Probe(ctx context.Context) Report { return probe(ctx, "") }

// ProbeAt is Probe with its directories below dir, which decides whether overlays work: the data directory's file system
// may be another than the temporary directory's.
func ProbeAt(ctx context.Context, dir string) Report { return probe(ctx, dir) }
