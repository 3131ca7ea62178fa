package sandbox

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Names below Scratch/<call id>, and names in Scratch that no call has: they start with a dot.
const (
	sparePrefix = ".spare-"
	rehearsalID = ".rehearsal"
	upperName   = "upper"
	workName    = "work"
)

// RemoveScratch removes a Scratch directory with all that calls left in it, for after a crash. os.RemoveAll is not enough
// for an ordinary user: overlayfs leaves directories that nobody may enter. No Sandbox may be using it.
func RemoveScratch(dir string) error {
	if err := removeScratch(dir); err != nil {
		return fmt.Errorf("remove scratch directory: %w", err)
	}
	return nil
}

// removeScratch removes a call's overlay directories. Tools leave directories that cannot be written, and overlayfs
// leaves one of mode 0000 in work, so they are opened up first. A path that is not there is no error.
func removeScratch(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700) // what stays closed is reported by RemoveAll
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// removeSpares removes what a zygote kept ready in Scratch, or left there when it was killed.
func removeSpares(scratch string) error {
	entries, err := os.ReadDir(scratch)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != rehearsalID && !strings.HasPrefix(e.Name(), sparePrefix) {
			continue
		}
		if err := removeScratch(filepath.Join(scratch, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
