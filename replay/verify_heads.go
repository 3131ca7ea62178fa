package replay

import (
	"context"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"tachograph/schemas/journal"
)

// head is a signed head and who signed it.
type head struct {
	journal.TreeHead
	trusted bool
}

// noKeys trusts nobody.
type noKeys struct{}

func (noKeys) Verifier(name string, hash uint32) (note.Verifier, error) {
	return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
}

// readHeads opens the signatures. A head that nobody could have signed for this run is a finding; a
// head by an unknown key is not, but proves nothing.
func (v *verifier) readHeads(ctx context.Context) error {
	signed, err := v.src.Heads(ctx, v.run)
	if err != nil {
		return err
	}
	keys := v.o.Keys
	if keys == nil {
		keys = noKeys{}
	}
	for i, text := range signed {
		h, n, err := journal.OpenHead(text, keys)
		if err != nil {
			v.find(-1, "signed head %d is wrong: %v", i, err)
			continue
		}
		if h.Run != v.run {
			v.find(-1, "signed head %d is one of run %s", i, h.Run)
			continue
		}
		if len(n.Sigs) == 0 && len(n.UnverifiedSigs) == 0 {
			v.find(-1, "signed head %d carries no signature", i)
			continue
		}
		v.heads = append(v.heads, head{h, len(n.Sigs) > 0})
		v.report.Signers = addNames(v.report.Signers, n.Sigs)
		v.report.Unknown = addNames(v.report.Unknown, n.UnverifiedSigs)
	}
	return nil
}

func addNames(names []string, sigs []note.Signature) []string {
	for _, s := range sigs {
		if name := s.Name + "+" + hex32(s.Hash); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func hex32(n uint32) string {
	const digits = "0123456789abcdef"
	var b [8]byte
	for i := range b {
		b[i] = digits[n>>(28-4*i)&15]
	}
	return string(b[:])
}

// compareHeads holds every head against the tree and the state of the entries it covers.
func (v *verifier) compareHeads() {
	for _, h := range v.heads {
		if v.report.to >= 0 && h.Size > v.report.to {
			continue
		}
		i := slices.IndexFunc(v.marks, func(m mark) bool { return m.size == h.Size })
		switch {
		case i < 0 && len(v.report.Findings) > 0:
			// The journal is wrong before this head: that is the finding.
		case i < 0:
			v.find(v.report.Entries, "entry %d is missing: a head was signed over %d entries, the journal ends after %d", v.report.Entries, h.Size, v.report.Entries)
		case v.marks[i].root != h.Root:
			v.find(h.Size-1, "the entries up to %d are not those that were signed: their tree is %s, the head says %s", h.Size-1, v.marks[i].root, h.Root)
		case v.marks[i].state != h.State:
			v.find(h.Size-1, "the head over %d entries names state %s, but they fold to %s", h.Size, h.State, v.marks[i].state)
		default:
			v.report.Heads++
			if h.trusted {
				v.report.Covered = max(v.report.Covered, h.Size)
			}
		}
	}
}
