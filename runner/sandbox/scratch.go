package sandbox

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Names below Scratch/<call id>.
const (
	upperName = "upper"
	workName  = "work"
)

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
