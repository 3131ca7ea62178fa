package journal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// TreeHead is the Merkle tree of a journal's first Size entries, and the state they fold to.
type TreeHead struct {
	Run    RunID
	Domain string // trust domain of the worker, as "tacho.local"
	Size   int64
	Root   Hash // RFC 6962 tree hash
	State  Hash
}

// Origin is the first line of a run's signed heads, so that a head of one run is never one of
// another.
func (h TreeHead) Origin() string { return h.Domain + "/run/" + h.Run.String() }

// SignHead writes a head as a C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint), signed as a
// C2SP signed note:
//
//	<domain>/run/<run id>
//	<size, decimal>
//	<root hash, base64>
//	state sha256:<64 hex digits>
//
//	— <key name> <base64 signature>
func SignHead(h TreeHead, signers ...note.Signer) ([]byte, error) {
	text := fmt.Sprintf("%s\n%d\n%s\nstate %s\n", h.Origin(), h.Size, base64.StdEncoding.EncodeToString(h.Root[:]), h.State)
	// What OpenHead would refuse or read otherwise (a line feed in the domain, no state) is not signed.
	if again, err := parseHead(text); err != nil || again != h {
		return nil, fmt.Errorf("sign head of run %s at %d: %w", h.Run, h.Size, errors.Join(err, errHeadText))
	}
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign head of run %s at %d: %w", h.Run, h.Size, err)
	}
	return signed, nil
}

// OpenHead reads a signed head. The note says which of the known keys signed it (Sigs) and which
// unknown ones claim to (UnverifiedSigs); the caller decides what that is worth. A signature by a
// known key that does not fit is an error.
func OpenHead(signed []byte, known note.Verifiers) (TreeHead, *note.Note, error) {
	n, err := note.Open(signed, known)
	if unverified := (*note.UnverifiedNoteError)(nil); errors.As(err, &unverified) {
		n, err = unverified.Note, nil
	}
	if err != nil {
		return TreeHead{}, nil, fmt.Errorf("open head: %w", err)
	}
	h, err := parseHead(n.Text)
	if err != nil {
		return TreeHead{}, nil, fmt.Errorf("open head: %w", err)
	}
	return h, n, nil
}

var errHeadText = errors.New("its fields do not make a head")

func parseHead(text string) (TreeHead, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || lines[4] != "" {
		return TreeHead{}, fmt.Errorf("%d lines where 4 are due", len(lines)-1)
	}
	domain, run, ok := strings.Cut(lines[0], "/run/")
	if !ok || domain == "" {
		return TreeHead{}, fmt.Errorf("origin %.120q is not <domain>/run/<id>", lines[0])
	}
	h := TreeHead{Domain: domain}
	var err error
	if h.Run, err = ParseRunID(run); err != nil {
		return h, err
	}
	h.Size, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || h.Size < 1 || strconv.FormatInt(h.Size, 10) != lines[1] {
		return h, fmt.Errorf("size %.40q is not a number of entries", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != HashSize {
		return h, fmt.Errorf("root %.80q is not a base64 SHA-256", lines[2])
	}
	h.Root = Hash(root)
	state, ok := strings.CutPrefix(lines[3], "state ")
	if !ok || state == "" {
		return h, fmt.Errorf("extension line %.90q is not a state hash", lines[3])
	}
	return h, h.State.UnmarshalText([]byte(state))
}

// Frontier is the right edge of a growing Merkle tree: enough to compute its root after each
// entry in O(log n), with nothing read.
type Frontier struct {
	size  int64
	nodes []tlog.Hash // roots of the perfect subtrees, largest first
}

// Add appends an entry by its leaf hash.
func (f *Frontier) Add(leaf Hash) {
	node := tlog.Hash(leaf)
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.nodes) - 1
		node = tlog.NodeHash(f.nodes[last], node)
		f.nodes = f.nodes[:last]
	}
	f.nodes = append(f.nodes, node)
	f.size++
}

// Size is the number of entries.
func (f *Frontier) Size() int64 { return f.size }

// Root is the RFC 6962 tree hash of the entries added so far; the zero Hash for none.
func (f *Frontier) Root() Hash {
	if len(f.nodes) == 0 {
		return Hash{}
	}
	root := f.nodes[len(f.nodes)-1]
	for i := len(f.nodes) - 2; i >= 0; i-- {
		root = tlog.NodeHash(f.nodes[i], root)
	}
	return Hash(root)
}

// Nodes are the roots of the perfect subtrees, largest first: a frontier's whole state together
// with Size. See [ResumeFrontier].
func (f *Frontier) Nodes() []Hash {
	nodes := make([]Hash, len(f.nodes))
	for i, n := range f.nodes {
		nodes[i] = Hash(n)
	}
	return nodes
}

// ResumeFrontier makes a frontier from what Size and Nodes gave.
func ResumeFrontier(size int64, nodes []Hash) (*Frontier, error) {
	ones := 0
	for n := size; n > 0; n >>= 1 {
		ones += int(n & 1)
	}
	if size < 0 || ones != len(nodes) {
		return nil, fmt.Errorf("resume frontier: %d nodes do not make a tree of %d", len(nodes), size)
	}
	f := &Frontier{size: size}
	for _, n := range nodes {
		f.nodes = append(f.nodes, tlog.Hash(n))
	}
	return f, nil
}
