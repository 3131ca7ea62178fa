package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"tachograph/schemas/journal"
)

// Verdict is what a verification comes to.
type Verdict string

const (
	// Verified: everything is coherent and a trusted key signed a head over it.
	Verified Verdict = "verified"
	// Unsigned: everything is coherent, but no key that is trusted signed it. Whoever could write
	// the store could have written all of it.
	Unsigned Verdict = "consistent; signer unknown"
	// Broken: something is wrong; Findings say what.
	Broken Verdict = "failed"
)

// Finding is one thing that is wrong. Seq is the first entry that it concerns, −1 if none.
type Finding struct {
	Seq  int64  `json:"seq"`
	What string `json:"what"`
}

// Report is the outcome of a verification.
type Report struct {
	Run         journal.RunID `json:"run"`
	Verdict     Verdict       `json:"verdict"`
	Entries     int64         `json:"entries"`
	Commitments int64         `json:"commitments"` // state hashes in entries, compared with the fold
	Heads       int64         `json:"heads"`       // signed heads, compared with the tree
	Signers     []string      `json:"signers"`     // trusted keys that signed heads
	Unknown     []string      `json:"unknown"`     // keys that signed, and are not trusted
	Covered     int64         `json:"covered"`     // entries under the newest trusted head
	Checkpoints int64         `json:"checkpoints"`
	Contents    int64         `json:"contents"`
	Objects     int64         `json:"objects"` // directory objects, files and chunks
	Bytes       int64         `json:"bytes"`   // of content and objects read
	Withheld    int64         `json:"withheld"`
	Erased      int64         `json:"erased"`
	Ended       bool          `json:"ended"`
	State       journal.Hash  `json:"state"`
	Root        journal.Hash  `json:"root"`   // of the Merkle tree over all entries
	Parent      *Report       `json:"parent"` // a fork's proof rests on its parent's
	Findings    []Finding     `json:"findings"`

	to int64 // verify only the entries before this seq; −1: all
}

// Options of a verification.
type Options struct {
	Keys     note.Verifiers                                  // the keys that are trusted; nil: none
	Progress func(done, total int64)                         // may be nil
	Summary  func() (count int64, tip journal.Hash, ok bool) // what the store says the run has
}

// maxFindings bounds a report: after so many, more of them say nothing new.
const maxFindings = 20

// Verify checks a whole run: the bytes, links and order of its entries, what each does to the
// state, every commitment to a state, the Merkle tree and every signed head, every checkpoint, all
// content and all files that its entries name. An error means that verification could not be done;
// what is wrong with the run is in the report.
func Verify(ctx context.Context, src Source, run journal.RunID, o Options) (*Report, error) {
	return verifyTo(ctx, src, run, -1, o)
}

func verifyTo(ctx context.Context, src Source, run journal.RunID, to int64, o Options) (*Report, error) {
	v := &verifier{src: src, run: run, o: o, report: &Report{Run: run, to: to, Findings: []Finding{}, Signers: []string{}, Unknown: []string{}},
		refs: map[journal.Ref]int64{}, roots: map[journal.Object]int64{}, seen: map[journal.Object]bool{}}
	if err := v.all(ctx); err != nil {
		return nil, fmt.Errorf("verify run %s: %w", run, err)
	}
	v.conclude()
	return v.report, nil
}

type verifier struct {
	src    Source
	run    journal.RunID
	o      Options
	report *Report

	state *journal.State
	tree  journal.Frontier
	heads []head
	marks []mark // what the heads' sizes and checkpoints have to match

	refs  map[journal.Ref]int64    // first entry that names it
	roots map[journal.Object]int64 // first entry that names it
	seen  map[journal.Object]bool
}

// mark is the truth after an entry, kept where something else claims it too.
type mark struct {
	size  int64
	root  journal.Hash
	state journal.Hash
}

func (v *verifier) find(seq int64, format string, args ...any) {
	if len(v.report.Findings) < maxFindings {
		v.report.Findings = append(v.report.Findings, Finding{seq, fmt.Sprintf(format, args...)})
	}
}

func (v *verifier) all(ctx context.Context) error {
	if err := v.readHeads(ctx); err != nil {
		return err
	}
	ok, err := v.begin(ctx)
	if err != nil || !ok {
		return err
	}
	if err := v.entries(ctx); err != nil {
		return err
	}
	v.compareHeads()
	v.compareSummary()
	if err := v.contents(ctx); err != nil {
		return err
	}
	return v.objects(ctx)
}

// begin sets up the state before entry 0; a fork's parent is verified first, as far as it is used.
func (v *verifier) begin(ctx context.Context) (bool, error) {
	parent, err := parentOf(ctx, v.src, v.run)
	if errors.Is(err, ErrNotFound) {
		v.find(0, "entry 0 is missing")
		return false, nil
	}
	if err != nil {
		v.find(0, "entry 0 cannot be read: %v", err)
		return false, nil
	}
	if parent == nil {
		v.state = journal.Start(nil)
		return true, nil
	}
	o := v.o
	o.Summary = nil
	if v.report.Parent, err = verifyTo(ctx, v.src, parent.Run, parent.Seq+1, o); err != nil {
		return false, err
	}
	if v.report.Parent.Verdict == Broken {
		v.find(0, "its parent, run %s, is not what it was: %s", parent.Run, v.report.Parent.Findings[0].What)
		return false, nil
	}
	s, err := uncachedBeginning(ctx, v.src, v.run)
	if err != nil {
		v.find(0, "the parent's state cannot be rebuilt: %v", err)
		return false, nil
	}
	v.state = s
	return true, nil
}

// entries folds everything and stops at the first entry that is wrong.
func (v *verifier) entries(ctx context.Context) error {
	wanted := map[int64]bool{}
	for _, h := range v.heads {
		wanted[h.Size] = true
	}
	for line, err := range v.src.Entries(ctx, v.run, 0) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			v.find(v.state.Next, "entry %d cannot be read: %v", v.state.Next, err)
			return nil
		}
		if v.report.to >= 0 && v.state.Next >= v.report.to {
			break
		}
		if !v.entry(ctx, line) {
			return nil
		}
		if wanted[v.tree.Size()] {
			v.marks = append(v.marks, mark{v.tree.Size(), v.tree.Root(), v.state.Hash()})
		}
		if v.o.Progress != nil && v.tree.Size()%256 == 0 {
			v.o.Progress(v.tree.Size(), 0)
		}
	}
	v.report.Entries, v.report.State, v.report.Root = v.tree.Size(), v.state.Hash(), v.tree.Root()
	v.report.Ended = v.state.Status == journal.StatusEnded
	return nil
}

func (v *verifier) entry(ctx context.Context, line []byte) bool {
	at := v.state.Next
	_, body, err := v.state.Apply(line)
	if err != nil {
		v.find(at, "entry %d is wrong: %v", at, err)
		v.report.Entries = at
		return false
	}
	v.tree.Add(journal.HashEntry(line))
	if _, ok := body.(journal.Committed); ok {
		v.report.Commitments++
	}
	for _, ref := range journal.Refs(body) {
		if _, ok := v.refs[ref]; !ok {
			v.refs[ref] = at
		}
	}
	for _, root := range journal.Objects(body) {
		if _, ok := v.roots[root]; !ok {
			v.roots[root] = at
		}
	}
	if _, ok := body.(*journal.Checkpoint); ok {
		v.checkpoint(ctx, at)
	}
	return true
}

// checkpoint compares the cached state with the fold.
func (v *verifier) checkpoint(ctx context.Context, seq int64) {
	cp, err := v.src.Checkpoint(ctx, v.run, seq)
	if err != nil || cp.Seq != seq {
		return // a cache may be missing
	}
	s, err := load(ctx, v.src, v.run, cp, true)
	switch {
	case err != nil:
		v.find(seq, "the checkpoint at entry %d cannot be read: %v", seq, err)
	case s.Hash() != v.state.Hash() || s.Tip != v.state.Tip:
		v.find(seq, "the checkpoint at entry %d holds state %s, but the entries fold to %s", seq, s.Hash(), v.state.Hash())
	}
	v.report.Checkpoints++
}

// compareSummary catches entries that are missing at the end of a run that is not signed there.
func (v *verifier) compareSummary() {
	if v.o.Summary == nil || v.report.to >= 0 {
		return
	}
	count, tip, ok := v.o.Summary()
	switch {
	case !ok:
	case count > v.report.Entries:
		v.find(v.report.Entries, "entry %d is missing: the store counts %d entries, the journal ends after %d", v.report.Entries, count, v.report.Entries)
	case count == v.report.Entries && tip != v.state.Tip:
		v.find(count-1, "entry %d has hash %s, but the store noted %s", count-1, v.state.Tip, tip)
	}
}

func (v *verifier) contents(ctx context.Context) error {
	salt, err := v.src.Salt(ctx, v.run)
	if errors.Is(err, ErrErased) {
		v.report.Erased = int64(len(v.refs))
		return nil
	}
	if err != nil {
		return err
	}
	refs := byFirstUse(v.refs)
	for i, ref := range refs {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if i%aheadCount == 0 {
			aheadOf(ctx, v.src, v.run, refs[i:min(i+aheadCount, len(refs))])
		}
		b, err := v.src.Content(ctx, v.run, ref)
		switch seq := v.refs[ref]; {
		case errors.Is(err, ErrErased):
			v.report.Erased++
		case err != nil:
			v.find(seq, "content %s, named by entry %d, cannot be read: %v", ref, seq, err)
		case salt.Name(b) != ref:
			v.find(seq, "content %s, named by entry %d, was replaced: its bytes have the name %s", ref, seq, salt.Name(b))
		default:
			v.report.Contents++
			v.report.Bytes += int64(len(b))
		}
	}
	return nil
}

// byFirstUse sorts names by the entry that names them first.
func byFirstUse[K interface {
	comparable
	String() string
}](uses map[K]int64) []K {
	names := make([]K, 0, len(uses))
	for name := range uses {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b K) int {
		if d := uses[a] - uses[b]; d != 0 {
			return int(d)
		}
		if a.String() < b.String() {
			return -1
		}
		return 1
	})
	return names
}

func (v *verifier) conclude() {
	r := v.report
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return int(a.Seq - b.Seq) })
	switch {
	case len(r.Findings) > 0:
		r.Verdict = Broken
	case r.Covered == 0 || r.Parent != nil && r.Parent.Verdict != Verified:
		r.Verdict = Unsigned
	default:
		r.Verdict = Verified
	}
}
