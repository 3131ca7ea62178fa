package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// owner is what owner.json says of the process that holds LOCK. It is for people: the lock decides.
type owner struct {
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
}

// own locks the directory for this process. The kernel lets go of the lock when the process dies.
func own(fs vfs.FS, dir string, now time.Time) (io.Closer, error) {
	lock, err := fs.Lock(fs.PathJoin(dir, "LOCK"))
	if err != nil {
		if errors.Is(err, os.ErrPermission) && !lockable(fs, dir) {
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		return nil, &LockedError{Dir: dir, PID: readOwner(fs, dir).PID}
	}
	text, err := json.Marshal(owner{os.Getpid(), now.UTC()})
	if err == nil {
		err = writeFile(fs, ownerPath(fs, dir), text)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write owner of %s: %w", dir, err), lock.Close())
	}
	return lock, nil
}

// lockable tells a lock that is held (EACCES on some systems) from a directory that may not be written.
func lockable(fs vfs.FS, dir string) bool {
	probe := fs.PathJoin(dir, fmt.Sprintf("probe-%d", os.Getpid()))
	if err := writeFile(fs, probe, nil); err != nil {
		return false
	}
	return fs.Remove(probe) == nil
}

func disown(fs vfs.FS, dir string, lock io.Closer) error {
	err := fs.Remove(ownerPath(fs, dir))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, lock.Close())
}

func ownerPath(fs vfs.FS, dir string) string { return fs.PathJoin(dir, "owner.json") }

func readOwner(fs vfs.FS, dir string) (o owner) {
	if text, err := readFile(fs, ownerPath(fs, dir)); err == nil && json.Unmarshal(text, &o) != nil {
		return owner{}
	}
	return o
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// writeFile writes a small file of mode 0600, durably and whole or not at all.
func writeFile(fs vfs.FS, path string, b []byte) error {
	temp := path + tempSuffix
	f, err := fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	err = private(f)
	if err == nil && len(b) > 0 {
		_, err = f.Write(append([]byte(nil), b...))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(temp, path); err != nil {
		return err
	}
	dir, err := fs.OpenDir(fs.PathDir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
