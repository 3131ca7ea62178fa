package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"tachograph/schemas/journal"
)

// stagingName is the directory at the top of the user's in which Apply prepares its work. It is no
// part of any root. It holds the new files, named by numbers, and then the file plan; as long as
// there is no plan, nothing of the user's has been changed.
const stagingName = ".tacho-apply"

const planName = "plan"

// stepKind is what one step does. A step finds the path as Old and leaves it as New.
type stepKind string

const (
	doRemove  stepKind = "remove"           // a file or link
	doRmdir   stepKind = "remove directory" // if it is empty
	doMkdir   stepKind = "make directory"   // with all permissions for its owner
	doPut     stepKind = "put"              // rename the staged file or link there
	doMode    stepKind = "set permissions"  // of a file
	doDirMode stepKind = "set permissions of directory"
)

func (k stepKind) phase() int {
	switch k {
	case doRemove, doRmdir:
		return 0
	case doMkdir:
		return 1
	case doPut, doMode:
		return 2
	}
	return 3
}

func (k stepKind) deepestFirst() bool { return k.phase() == 0 || k.phase() == 3 }

// step is one line of a plan, which is JSON: {"v":1,"steps":[…]}.
type step struct {
	Do     stepKind   `json:"do"`
	Path   []byte     `json:"path"` // base64
	Old    *wireEntry `json:"old,omitzero"`
	New    *wireEntry `json:"new,omitzero"`
	Staged string     `json:"staged"` // name in the staging directory, of doPut
	UID    int        `json:"uid"`    // owner of what is made, if root makes it
	GID    int        `json:"gid"`
}

func (s *step) name() string { return baseName(string(s.Path)) }

type planFile struct {
	V     int    `json:"v"`
	Steps []step `json:"steps"`
}

// writePlan makes the plan durable: from then on it will be carried out.
func writePlan(staging folder, steps []step) error {
	b, err := json.Marshal(planFile{1, steps})
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	const draft = planName + ".draft"
	fd, err := staging.create(draft)
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	err = writeFull(fd, b, 0)
	if err == nil {
		err = unix.Fsync(fd)
	}
	unix.Close(fd)
	if err == nil {
		err = staging.rename(draft, staging, planName)
	}
	if err == nil {
		err = unix.Fsync(staging.fd)
	}
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// readPlan returns the steps of an Apply that was interrupted; none if it had not begun.
func readPlan(staging folder) ([]step, error) {
	fd, err := staging.openFile(planName)
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("stat plan: %w", err)
	}
	b := make([]byte, st.Size)
	if _, err := readFull(fd, b, 0); err != nil {
		return nil, err
	}
	return parsePlan(b)
}

func parsePlan(b []byte) ([]step, error) {
	var p planFile
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	if p.V != 1 {
		return nil, fmt.Errorf("read plan: version %d: this tacho reads version 1", p.V)
	}
	for i := range p.Steps {
		if err := p.Steps[i].check(); err != nil {
			return nil, fmt.Errorf("read plan, step %d: %w", i, err)
		}
	}
	return p.Steps, nil
}

func (s *step) check() error {
	for part := range strings.SplitSeq(string(s.Path), "/") {
		if !journal.ValidName(part) {
			return fmt.Errorf("path %.300q leads out of the directory", s.Path)
		}
	}
	if _, err := s.Old.entry(s.name()); err != nil {
		return err
	}
	if _, err := s.New.entry(s.name()); err != nil {
		return err
	}
	switch s.Do {
	case doRemove, doRmdir, doMkdir, doDirMode, doMode, doPut:
	default:
		return fmt.Errorf("%.40q is unknown", s.Do)
	}
	needsNew := s.Do != doRemove && s.Do != doRmdir
	if needsNew && s.New == nil || !journal.ValidName(s.Staged) {
		return fmt.Errorf("%s %.300q: incomplete", s.Do, s.Path)
	}
	return nil
}

// keptDir is no conflict: the user has other files in a directory that the result lacks.
const keptDir = "it holds other files"

const (
	whyTouched = "it was changed while the result was being applied"
	whyBlocked = "its directory went away while the result was being applied"
)

// do carries out one step, which may have been done already. why is not empty if it must be left.
func (u *userDir) do(ctx context.Context, staging folder, s *step) (why string, err error) {
	old, err := s.Old.entry(s.name())
	if err != nil {
		return "", err
	}
	is, err := s.New.entry(s.name())
	if err != nil {
		return "", err
	}
	cur, why, err := u.state(ctx, string(s.Path), nil)
	if err != nil || is.Type == 0 && (why == whyParentGone || why == whyParentLink) {
		return "", err // it went with all above it
	}
	if why != "" {
		return whyBlocked, nil
	}
	f, _, err := u.parent(string(s.Path))
	if err != nil {
		return whyBlocked, nil
	}
	defer f.close()
	dirMode := s.Do == doDirMode
	switch {
	case alike(&cur.entry, &is, dirMode):
		return "", nil // done before; what was staged goes with the staging directory
	case s.Do == doDirMode && cur.entry.Type == journal.TypeDir:
	case !alike(&cur.entry, &old, dirMode):
		return whyTouched, nil
	}
	return u.doNow(f, staging, s, &is)
}

func (u *userDir) doNow(f, staging folder, s *step, is *journal.DirEntry) (why string, err error) {
	name := s.name()
	switch s.Do {
	case doRemove:
		return "", f.unlink(name)
	case doRmdir:
		err := f.rmdir(name)
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
			return keptDir, nil
		}
		return "", err
	case doMkdir:
		if err := f.mkdir(name); err != nil {
			return "", err
		}
		return "", u.own(f, name, s.UID, s.GID)
	case doPut:
		return "", staging.rename(s.Staged, f, name)
	case doMode, doDirMode:
		return "", f.chmod(name, is.Mode&plainMask)
	}
	return "", fmt.Errorf("unknown step %q", s.Do)
}

func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
