package replay_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"iter"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"tachograph/replay"
	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// tampered is a Source in which somebody changed something. Nil hooks change nothing.
type tampered struct {
	replay.Source
	only    journal.RunID // whose lines are changed; none: every run's
	lines   func([][]byte) [][]byte
	heads   func([][]byte) [][]byte
	content func(journal.Ref, []byte) []byte
	object  func(journal.Object, []byte) []byte
	record  func(replay.Checkpoint) replay.Checkpoint
}

func (s tampered) Entries(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error] {
	if s.lines == nil || !s.only.IsZero() && s.only != run {
		return s.Source.Entries(ctx, run, from)
	}
	return func(yield func([]byte, error) bool) {
		var lines [][]byte
		for line, err := range s.Source.Entries(ctx, run, 0) {
			if err != nil {
				yield(nil, err)
				return
			}
			lines = append(lines, line)
		}
		lines = s.lines(lines)
		for _, line := range lines[min(int(from), len(lines)):] {
			if !yield(line, nil) {
				return
			}
		}
	}
}

func (s tampered) Heads(ctx context.Context, run journal.RunID) ([][]byte, error) {
	heads, err := s.Source.Heads(ctx, run)
	if s.heads != nil {
		heads = s.heads(heads)
	}
	return heads, err
}

func (s tampered) Content(ctx context.Context, run journal.RunID, ref journal.Ref) ([]byte, error) {
	b, err := s.Source.Content(ctx, run, ref)
	if s.content != nil && err == nil {
		b = s.content(ref, b)
	}
	return b, err
}

func (s tampered) Object(ctx context.Context, run journal.RunID, name journal.Object) ([]byte, error) {
	b, err := s.Source.Object(ctx, run, name)
	if s.object != nil && err == nil {
		b = s.object(name, b)
	}
	return b, err
}

func (s tampered) Checkpoint(ctx context.Context, run journal.RunID, seq int64) (replay.Checkpoint, error) {
	cp, err := s.Source.Checkpoint(ctx, run, seq)
	if s.record != nil && err == nil {
		cp = s.record(cp)
	}
	return cp, err
}

// signedRun is a run with several heads and checkpoints, ended.
func signedRun(t *testing.T) (*lab, replay.Source, replay.Options) {
	t.Helper()
	store := openStore(t, t.TempDir())
	l := newLab(t, store, runID(9), 42)
	l.play(300)
	if err := l.run.SignHead(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.play(700)
	l.append("/", l.story.End(l.run.State()))
	keys, err := store.Verifiers()
	if err != nil {
		t.Fatal(err)
	}
	count, tip := int64(len(l.hashes)), journal.Hash{}
	l.run.View(func(s *journal.State) { tip = s.Tip })
	return l, replay.Local(store), replay.Options{Keys: keys, Summary: func() (int64, journal.Hash, bool) { return count, tip, true }}
}

// TestVerifyAttacks changes a run in every way that somebody with access to the store could, and
// sees each found and named.
func TestVerifyAttacks(t *testing.T) {
	t.Parallel()
	l, src, o := signedRun(t)
	verify := func(t *testing.T, src replay.Source, o replay.Options) *replay.Report {
		t.Helper()
		r, err := replay.Verify(context.Background(), src, l.run.ID(), o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := verify(t, src, o); r.Verdict != replay.Verified || r.Covered != r.Entries || r.Checkpoints == 0 || r.Objects == 0 {
		t.Fatalf("the untouched run: %+v", r)
	}
	unsummed := o
	unsummed.Summary = nil

	const at = 333 // the entry that is attacked
	attacks := map[string]struct {
		src   tampered
		o     replay.Options
		seq   int64  // of the first finding, −2: do not care
		finds string // in it
	}{
		"dropped": {tampered{lines: func(l [][]byte) [][]byte { return slices.Delete(slices.Clone(l), at, at+1) }}, o, at, "seq 334 where 333 is due"},
		"swapped": {tampered{lines: func(l [][]byte) [][]byte {
			l = slices.Clone(l)
			l[at], l[at+1] = l[at+1], l[at]
			return l
		}}, o, at, "where 333 is due"},
		"doubled":                   {tampered{lines: func(l [][]byte) [][]byte { return slices.Insert(slices.Clone(l), at, l[at]) }}, o, at + 1, "seq 333 where 334 is due"},
		"first entry dropped":       {tampered{lines: func(l [][]byte) [][]byte { return l[1:] }}, o, 0, "entry 0"},
		"truncated before a head":   {tampered{lines: func(l [][]byte) [][]byte { return l[:at] }}, unsummed, at, "entry 333 is missing"},
		"truncated after last head": {tampered{lines: func(l [][]byte) [][]byte { return l[:at] }, heads: func(h [][]byte) [][]byte { return h[:1] }}, o, at, "entry 333 is missing: the store counts"},
		"everything truncated":      {tampered{lines: func(l [][]byte) [][]byte { return nil }}, o, 0, "entry 0 is missing"},
		"content replaced":          {tampered{content: func(_ journal.Ref, b []byte) []byte { return append([]byte("x"), b...) }}, o, 0, "was replaced"},
		"one byte of one content":   {tampered{content: oneContent(l)}, o, -2, "was replaced"},
		"file replaced": {tampered{object: func(name journal.Object, b []byte) []byte {
			if bytes.HasPrefix(b, []byte("tacho-")) {
				return b
			}
			return append([]byte{1}, b...)
		}}, o, -2, "was replaced"},
		"directory replaced": {tampered{object: func(name journal.Object, b []byte) []byte {
			if !bytes.HasPrefix(b, []byte("tacho-dir")) {
				return b
			}
			return append(slices.Clone(b), 0)
		}}, o, 0, "was replaced"},
		"checkpoint of another moment": {tampered{record: func(cp replay.Checkpoint) replay.Checkpoint {
			cp.Record = regexp.MustCompile(`"Undone":\d+`).ReplaceAll(cp.Record, []byte(`"Undone":77`))
			return cp
		}}, o, -2, "checkpoint at entry"},
		"head: a bit of its signature": {tampered{heads: func(h [][]byte) [][]byte {
			h = slices.Clone(h)
			h[0] = flip(h[0], len(h[0])-12)
			return h
		}}, o, -1, "signed head 0 is wrong"},
		"head: its size": {tampered{heads: func(h [][]byte) [][]byte {
			h = slices.Clone(h)
			i := bytes.IndexByte(h[0], '\n')
			h[0] = flip(h[0], i+1)
			return h
		}}, o, -1, "signed head 0 is wrong"},
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attack.src.Source = src
			r := verify(t, attack.src, attack.o)
			if r.Verdict != replay.Broken || len(r.Findings) == 0 {
				t.Fatalf("not found: %+v", r)
			}
			first := r.Findings[0]
			if attack.seq != -2 && first.Seq != attack.seq || !strings.Contains(first.What, attack.finds) {
				t.Errorf("found at %d: %s\nwant at %d: %s", first.Seq, first.What, attack.seq, attack.finds)
			}
		})
	}
}

// TestVerifyEveryField flips a bit in each field of an entry, of several kinds.
func TestVerifyEveryField(t *testing.T) {
	t.Parallel()
	l, src, o := signedRun(t)
	var all [][]byte
	for line, err := range src.Entries(context.Background(), l.run.ID(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	field := regexp.MustCompile(`"([a-z_]+)":`)
	seen := map[string]bool{}
	for seq, line := range all {
		e, err := journal.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		if seen[string(e.Kind)] {
			continue
		}
		seen[string(e.Kind)] = true
		for _, m := range field.FindAllSubmatchIndex(line, -1) {
			at := m[1] + 1 // within the value, past a quote or the first digit
			if at >= len(line)-1 {
				at = m[1]
			}
			src := tampered{Source: src, lines: func(lines [][]byte) [][]byte {
				lines = slices.Clone(lines)
				lines[seq] = flip(lines[seq], at)
				return lines
			}}
			r, err := replay.Verify(context.Background(), src, l.run.ID(), o)
			if err != nil {
				t.Fatal(err)
			}
			// What changes the meaning but not the fold is found by the next entry's link.
			if r.Verdict != replay.Broken || r.Findings[0].Seq != int64(seq) && r.Findings[0].Seq != int64(seq)+1 {
				t.Errorf("%s, field %s of entry %d: %+v", e.Kind, line[m[2]:m[3]], seq, r.Findings)
			}
		}
	}
	t.Logf("%d kinds", len(seen))
}

// TestVerifyGivenResult: what a fork told its model in place of what its parent recorded cannot be
// changed, moved to another call or left out unseen.
func TestVerifyGivenResult(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	store := openStore(t, t.TempDir())
	l := newLab(t, store, runID(9), 42)
	var fork *lab
	var started *journal.RunStarted
	for n := byte(10); fork == nil; n++ {
		l.play(len(l.hashes) + 1)
		seq := int64(len(l.hashes) - 1)
		at, err := replay.At(ctx, replay.Local(store), l.run.ID(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if started = l.story.Fork(at); len(started.Results) < 2 {
			continue
		}
		fork = &lab{t: t, store: store, rng: l.rng, story: l.story, tree: l.tree}
		if fork.run, err = store.Create(ctx, runID(n), state.CreateOptions{Parent: &state.ForkPoint{Run: l.run.ID(), Seq: seq}}); err != nil {
			t.Fatal(err)
		}
	}
	l.story.Stage = fork.run.Stage
	for i := range started.Results { // what the story staged was the parent's
		started.Results[i].Message = fork.run.Stage([]byte{byte(i)})
	}
	started.Spec, started.Goal, started.Policy = fork.run.Stage([]byte("spec")), fork.run.Stage([]byte("goal")), fork.run.Stage([]byte("policy"))
	started.Turn, started.Message, started.By = journal.Ref{}, journal.Ref{}, fork.run.Stage([]byte("ada"))
	fork.append("/", started)
	fork.append("/", &journal.Paused{Why: "fork", By: started.By})
	src := replay.Local(store)
	verify := func(src replay.Source) *replay.Report {
		r, err := replay.Verify(ctx, src, fork.run.ID(), replay.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := verify(src); r.Verdict != replay.Unsigned {
		t.Fatalf("the untouched fork: %+v", r)
	}
	line := func(change func([]byte) []byte) replay.Source {
		return tampered{Source: src, only: fork.run.ID(), lines: func(lines [][]byte) [][]byte {
			lines = slices.Clone(lines)
			lines[0] = change(slices.Clone(lines[0]))
			return lines
		}}
	}
	results := regexp.MustCompile(`"results":\[.*?\],`)
	for name, changed := range map[string]replay.Source{
		"left out": line(func(b []byte) []byte { return results.ReplaceAll(b, nil) }),
		"one left out": line(func(b []byte) []byte {
			return bytes.Replace(b, regexp.MustCompile(`\{"call":\d+,"message":"[^"]*"\},`).Find(b), nil, 1)
		}),
		"another call": line(func(b []byte) []byte {
			return regexp.MustCompile(`"results":\[\{"call":`).ReplaceAll(b, []byte(`"results":[{"call":1`))
		}),
		"another text":   line(func(b []byte) []byte { return flip(b, bytes.Index(b, []byte(`"message":"sha256:`))+20) }),
		"another person": line(func(b []byte) []byte { return flip(b, bytes.Index(b, []byte(`"by":"sha256:`))+20) }),
	} {
		if r := verify(changed); r.Verdict != replay.Broken || r.Findings[0].Seq > 1 {
			t.Errorf("%s: not found: %+v", name, r)
		}
	}
	replaced := tampered{Source: src, content: func(ref journal.Ref, b []byte) []byte {
		if ref == started.Results[1].Message {
			return append(b, 'x')
		}
		return b
	}}
	if r := verify(replaced); r.Verdict != replay.Broken || r.Findings[0].Seq != 0 || !strings.Contains(r.Findings[0].What, "was replaced") {
		t.Errorf("the text replaced: %+v", r)
	}
}

// TestVerifyResigned: somebody who can write everything signs it all again with a key of his own.
func TestVerifyResigned(t *testing.T) {
	t.Parallel()
	l, src, o := signedRun(t)
	secret, public, err := note.GenerateKey(rand.Reader, "tacho.local/worker")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	resigned := tampered{Source: src, heads: func(heads [][]byte) [][]byte {
		var all [][]byte
		for _, h := range heads {
			head, _, err := journal.OpenHead(h, o.Keys)
			if err != nil {
				t.Fatal(err)
			}
			again, err := journal.SignHead(head, signer)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, again)
		}
		return all
	}}
	r, err := replay.Verify(context.Background(), resigned, l.run.ID(), o)
	if err != nil || r.Verdict != replay.Unsigned || len(r.Signers) != 0 || len(r.Unknown) != 1 {
		t.Errorf("re-signed with another key: %v %+v", err, r)
	}
	other, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	o.Keys = note.VerifierList(other)
	if r, err = replay.Verify(context.Background(), src, l.run.ID(), o); err != nil || r.Verdict != replay.Unsigned {
		t.Errorf("the real heads, checked with another key: %v %+v", err, r)
	}
}

func flip(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

// oneContent changes one byte of the content that the run's goal is.
func oneContent(l *lab) func(journal.Ref, []byte) []byte {
	goal := l.run.State().Goal
	return func(ref journal.Ref, b []byte) []byte {
		if ref != goal {
			return b
		}
		return flip(b, len(b)/2)
	}
}
