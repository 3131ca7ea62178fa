package workspace

import (
	"fmt"
	"path/filepath"
)

// RemoveAll is os.RemoveAll for trees in which a tool, or overlayfs (its work directory has mode
// 0000), took permissions away from directories. Like everything here it follows no link, whatever
// is exchanged meanwhile. It is no error if there is nothing.
func RemoveAll(path string) error {
	path = absolute(path)
	parent, err := openTop(filepath.Dir(path))
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	defer parent.close()
	if err := parent.removeAll(filepath.Base(path)); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}
