package workspace

import (
	"context"

	"tachograph/schemas/journal"
)

// Objects is where file contents, chunks, chunk lists and directory objects are kept: small files
// and chunks up to 1 MiB, lists and directory objects up to some MB. Methods may be called
// concurrently. How soon an object is durable is the store's affair; a root is only put down after
// everything below it.
type Objects interface {
	// Has says whether Get would return the object.
	Has(ctx context.Context, name journal.Object) (bool, error)
	// Put keeps b, whose name is the SHA-256 of b, and does not hold on to the slice. Putting what
	// is there already is no error.
	Put(ctx context.Context, name journal.Object, b []byte) error
	// Get returns the object, or an error that matches fs.ErrNotExist if it is not kept. The caller
	// does not change the slice and checks the bytes against the name.
	Get(ctx context.Context, name journal.Object) ([]byte, error)
}

// Options govern how a directory is read. The zero value leaves nothing out but what no root can
// cover, does not store the bytes of files with well-known secret names, and for a process of
// root leaves the tree to root: set UID to −1 or to the owner wanted.
type Options struct {
	// Ignore is the text that governs what is left out, in the syntax of .gitignore. Empty: the
	// .tachoignore at the top of the directory that is read. Once a run has begun it should be the
	// text it began with ([IgnoreText]), so that an agent cannot hide files by editing the file.
	Ignore string
	// Secrets are patterns of files whose bytes are not stored, in the syntax of .gitignore.
	// Nil: [DefaultSecrets].
	Secrets []string
	// CaptureAll stores the bytes of secret files too.
	CaptureAll bool
	// UID owns the managed tree, with the group of the same number; −1: whoever runs this process.
	UID int
	// Exclude are directories that are never taken, wherever they lie: the data directory.
	Exclude []string
	// Progress, if set, is called by the method's own goroutine, never concurrently, after each
	// step that can be seen on disk. It must be quick and must not call the tree.
	Progress func(Progress)
}

// Stage says what a Progress counts.
type Stage string

const (
	StageRead   Stage = "read"   // entries looked at in a directory
	StageCopy   Stage = "copy"   // entries made by Import in the managed tree
	StageWrite  Stage = "write"  // entries restored or removed on disk
	StageMove   Stage = "move"   // entries of an overlay's upper directory brought into the tree
	StageStaged Stage = "stage"  // entries that Apply prepared: nothing of the user's is changed yet
	StageCommit Stage = "commit" // Apply's plan is durable: from here on it is carried out
	StageApply  Stage = "apply"  // entries of the user's directory that Apply changed
)

// Progress is how far a method is. Total is 0 where it is not known beforehand.
type Progress struct {
	Stage   Stage
	Entries int64
	Total   int64
}

// meter counts the entries of one stage.
type meter struct {
	report func(Progress)
	at     Progress
}

func newMeter(o Options, stage Stage, total int64) *meter {
	return &meter{o.Progress, Progress{Stage: stage, Total: total}}
}

func (m *meter) step() {
	m.at.Entries++
	if m.report != nil {
		m.report(m.at)
	}
}

// Reason says why an entry is left out of the root.
type Reason byte

const (
	Ignored    Reason = iota + 1 // named by the ignore text
	Special                      // socket or FIFO
	Device                       // character or block device
	Unreadable                   // in the user's directory: no permission
	Excluded                     // Options.Exclude, the managed tree itself, or left by a crashed Apply
)

func (r Reason) String() string {
	switch r {
	case Ignored:
		return "ignored"
	case Special:
		return "socket or FIFO"
	case Device:
		return "device"
	case Unreadable:
		return "unreadable"
	case Excluded:
		return "excluded"
	}
	return "unknown"
}

// Left counts what no root covers, by reason. A directory counts as one.
type Left struct{ Ignored, Special, Device, Unreadable, Excluded int64 }

// Total is the sum over all reasons.
func (l Left) Total() int64 { return l.Ignored + l.Special + l.Device + l.Unreadable + l.Excluded }

func (l *Left) add(r Reason) {
	switch r {
	case Ignored:
		l.Ignored++
	case Special:
		l.Special++
	case Device:
		l.Device++
	case Unreadable:
		l.Unreadable++
	case Excluded:
		l.Excluded++
	}
}

// Report counts what a directory holds.
type Report struct {
	Files     int64    // regular files
	Dirs      int64    // directories below the top
	Links     int64    // symbolic links
	Bytes     int64    // of the regular files
	LeftOut   Left     //
	NotStored []string // paths of files that count by hash only, in order
	Missing   []string // paths that could not be restored: their bytes are not kept
	Ignore    string   // the ignore text that governed
}
