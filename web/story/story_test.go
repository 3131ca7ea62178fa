package story_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/replay"
	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/journal/journaltest"
	"tachograph/web/api"
	"tachograph/web/story"
)

// random writes a random run of about n entries into a real store.
func random(t *testing.T, seed uint64, n int) (replay.Store, journal.RunID) {
	t.Helper()
	store, err := state.Open(t.TempDir(), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	ctx := context.Background()
	id := journal.RunID{1, 0x97, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, byte(seed)}
	run, err := store.Create(ctx, id, state.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	told := journaltest.New(seed)
	told.Stage, told.Take = run.Stage, func() error { return run.Take(ctx) }
	append1 := func(agent string, body journal.Body) {
		if _, err := run.Append(ctx, state.Draft{Agent: agent, Body: body}); err != nil {
			t.Fatalf("append %s: %v", body.Kind(), err)
		}
	}
	append1("/", told.Start(id))
	for run.State().Next < int64(n) {
		agent, body, err := told.Next(run.State())
		if err != nil {
			t.Fatal(err)
		}
		append1(agent, body)
	}
	return replay.Local(store), id
}

// TestToldFromAnywhere: whoever begins to listen in the middle is told the same of what changes from
// there on as whoever listened from the beginning.
func TestToldFromAnywhere(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			src, id := random(t, seed, 250)
			want := tell(t, src, id, 0)
			for from := int64(1); from < 250; from += 7 {
				for seq, got := range tell(t, src, id, from) {
					if diff := cmp.Diff(want[seq], got); diff != "" {
						t.Fatalf("told from %d, item %d is another:\n%s", from, seq, diff)
					}
				}
			}
			whole, err := story.From(t.Context(), src, id, 0, 10_000)
			if err != nil {
				t.Fatal(err)
			}
			for _, limit := range []int{1, 5} {
				var pages []api.Item
				for from := int64(0); from >= 0; {
					page, err := story.From(t.Context(), src, id, from, limit)
					if err != nil {
						t.Fatal(err)
					}
					pages, from = append(pages, page.Items...), page.Next
				}
				if diff := cmp.Diff(whole.Items, pages); diff != "" {
					t.Fatalf("in pages of %d it is another story:\n%s", limit, diff)
				}
			}
		})
	}
}

// tell returns the items that were made or changed by the entries from seq on, as they were in the
// end.
func tell(t *testing.T, src replay.Store, id journal.RunID, from int64) map[int64]api.Item {
	t.Helper()
	teller := story.New(src, id)
	items := map[int64]api.Item{}
	for line, err := range src.Entries(t.Context(), id, from) {
		if err != nil {
			t.Fatal(err)
		}
		_, changed, err := teller.Tell(t.Context(), line)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range changed {
			items[item.Seq] = *item
		}
	}
	return items
}

func TestUSD(t *testing.T) {
	t.Parallel()
	for nano, want := range map[int64]string{0: "0", 1: "0.000000001", 1_500_000_000: "1.5", 12_000_000_000: "12", 42_100_000: "0.0421"} {
		if got := story.USD(nano); got != want {
			t.Errorf("%d is %s, want %s", nano, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"abc": "ab", "aå": "a", "\xff\xfe": "\uFFFD", "å": "å"} {
		if got := story.Cut(text, 2); got != want {
			t.Errorf("cut %q is %q, want %q", text, got, want)
		}
	}
}
