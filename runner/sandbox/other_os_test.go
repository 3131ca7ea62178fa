//go:build !linux || !(amd64 || arm64)

package sandbox_test

import (
	"errors"
	"testing"

	"tachograph/runner/sandbox"
)

// TestUnavailable: elsewhere the refusal is the one that an old kernel gets.
func TestUnavailable(t *testing.T) {
	sandbox.RunIfHelper()
	c := sandbox.Config{Tree: "/a", Mount: "/b", Home: "/c", Tmp: "/d", Scratch: "/e"}
	_, err := sandbox.Open(t.Context(), c)
	var u *sandbox.Unavailable
	if !errors.As(err, &u) || len(u.Refused) == 0 || u.Refused[0].Remedy == "" {
		t.Errorf("got %v", err)
	}
	if r := sandbox.Probe(t.Context()); r.Tier != sandbox.TierAuto || len(r.Refused) == 0 {
		t.Errorf("probe says %+v", r)
	}
}
