package journaltest_test

import (
	"testing"

	"tachograph/schemas/journal"
	"tachograph/schemas/journal/journaltest"
)

// A story is valid, the same for the same seed, and tells of every kind.
func TestRandom(t *testing.T) {
	t.Parallel()
	seen := map[journal.Kind]int{}
	for seed := range uint64(8) {
		r, err := journaltest.Random(seed, journal.RunID{6: 0x70, 15: byte(seed)}, 2000)
		if err != nil {
			t.Fatal(err)
		}
		again, err := journaltest.Random(seed, journal.RunID{6: 0x70, 15: byte(seed)}, 2000)
		if err != nil {
			t.Fatal(err)
		}
		if r.State.Hash() != again.State.Hash() || r.State.Tip != again.State.Tip {
			t.Fatalf("seed %d tells two stories", seed)
		}
		for _, line := range r.Lines {
			e, err := journal.Decode(line)
			if err != nil {
				t.Fatal(err)
			}
			seen[e.Kind]++
		}
	}
	for _, b := range journal.Kinds() {
		if seen[b.Kind()] == 0 && b.Kind() != journal.KindRunEnded {
			t.Errorf("no story has %s", b.Kind())
		}
	}
}
