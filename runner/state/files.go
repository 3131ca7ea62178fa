package state

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tachograph/schemas/journal"
)

// files keeps content and objects that are too large for a row: files/<scope>/<name>. A file is
// written under another name first, so that one under its own name is whole.
type files struct {
	fs   vfs.FS
	dir  string
	used atomic.Int64 // bytes
	temp atomic.Int64 // counts temporary names
}

const tempSuffix = ".part"

func (f *files) scopeDir(scope scopeID) string {
	return f.fs.PathJoin(f.dir, hex.EncodeToString(scope[:]))
}

func (f *files) path(scope scopeID, name [journal.HashSize]byte) string {
	return f.fs.PathJoin(f.scopeDir(scope), hex.EncodeToString(name[:]))
}

// makeScope makes the folder of a scope, durably.
func (f *files) makeScope(scope scopeID) error {
	if err := f.fs.MkdirAll(f.scopeDir(scope), 0o700); err != nil {
		return fmt.Errorf("make folder for content: %w", err)
	}
	return f.syncDir(f.dir)
}

// write writes b under a temporary name and returns it. Nothing is durable yet; see publish.
func (f *files) write(scope scopeID, b []byte) (temp string, err error) {
	temp = f.fs.PathJoin(f.scopeDir(scope), fmt.Sprintf("%d%s", f.temp.Add(1), tempSuffix))
	file, err := f.fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return "", fmt.Errorf("write content: %w", err)
	}
	// vfs.File.Write may change what it is given; b belongs to the caller.
	_, err = file.Write(append([]byte(nil), b...))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", fmt.Errorf("write content: %w", err)
	}
	f.used.Add(int64(len(b)))
	return temp, nil
}

// publish makes the file durable, if sync, and gives it its name. The directory is still to be
// synced.
func (f *files) publish(temp string, scope scopeID, name [journal.HashSize]byte, sync bool) error {
	if sync {
		if err := f.syncFile(temp); err != nil {
			return fmt.Errorf("make content durable: %w", err)
		}
	}
	if old, err := f.fs.Stat(f.path(scope, name)); err == nil {
		f.used.Add(-old.Size())
	}
	if err := f.fs.Rename(temp, f.path(scope, name)); err != nil {
		return fmt.Errorf("make content durable: %w", err)
	}
	return nil
}

func (f *files) syncFile(path string) error {
	file, err := f.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	err = file.Sync()
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (f *files) syncScope(scope scopeID) error { return f.syncDir(f.scopeDir(scope)) }

func (f *files) syncDir(path string) error {
	dir, err := f.fs.OpenDir(path)
	if err == nil {
		err = dir.Sync()
		if closeErr := dir.Close(); err == nil {
			err = closeErr
		}
	}
	if err != nil {
		return fmt.Errorf("make folder durable: %w", err)
	}
	return nil
}

func (f *files) read(path string) ([]byte, error) {
	file, err := f.fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	return b, nil
}

// move takes a file that is durable to another scope, durably: first a second name, so that it is
// never without one.
func (f *files) move(from, to scopeID, name [journal.HashSize]byte) error {
	if _, err := f.fs.Stat(f.path(to, name)); err == nil {
		return nil
	}
	if err := f.fs.Link(f.path(from, name), f.path(to, name)); err != nil {
		return fmt.Errorf("move content: %w", err)
	}
	info, err := f.fs.Stat(f.path(to, name))
	if err != nil {
		return fmt.Errorf("move content: %w", err)
	}
	f.used.Add(info.Size())
	return f.syncScope(to)
}

// removeScope removes a scope's folder and all that is in it.
func (f *files) removeScope(scope scopeID) error {
	err := f.eachIn(scope, func(_ string, size int64) error {
		f.used.Add(-size)
		return nil
	})
	if err != nil {
		return err
	}
	if err := f.fs.RemoveAll(f.scopeDir(scope)); err != nil {
		return fmt.Errorf("remove content: %w", err)
	}
	return f.syncDir(f.dir)
}

// eachIn lists the files of a scope by path and size; none if it has no folder.
func (f *files) eachIn(scope scopeID, each func(name string, size int64) error) error {
	dir := f.scopeDir(scope)
	if _, err := f.fs.Stat(dir); err != nil {
		return nil
	}
	names, err := f.fs.List(dir)
	if err != nil {
		return fmt.Errorf("list content: %w", err)
	}
	for _, name := range names {
		info, err := f.fs.Stat(f.fs.PathJoin(dir, name))
		if err != nil {
			return fmt.Errorf("list content: %w", err)
		}
		if err := each(name, info.Size()); err != nil {
			return err
		}
	}
	return nil
}

// sweep counts what is there and removes what no row refers to: files that were written for a
// batch which never came. It is called before anything is written.
func (f *files) sweep(referred func(scopeID, [journal.HashSize]byte) (bool, error)) error {
	scopes, err := f.fs.List(f.dir)
	if err != nil {
		return fmt.Errorf("list content: %w", err)
	}
	for _, text := range scopes {
		raw, err := hex.DecodeString(text)
		if err != nil || len(raw) != len(scopeID{}) {
			continue // not ours
		}
		scope := scopeID(raw)
		err = f.eachIn(scope, func(name string, size int64) error { return f.sweepFile(scope, name, size, referred) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *files) sweepFile(scope scopeID, name string, size int64, referred func(scopeID, [journal.HashSize]byte) (bool, error)) error {
	raw, err := hex.DecodeString(name)
	isName := err == nil && len(raw) == journal.HashSize
	if !isName && !strings.HasSuffix(name, tempSuffix) {
		return nil // not ours
	}
	if isName {
		keep, err := referred(scope, [journal.HashSize]byte(raw))
		if err != nil {
			return err
		}
		if keep {
			f.used.Add(size)
			return nil
		}
	}
	if err := f.fs.Remove(f.fs.PathJoin(f.scopeDir(scope), name)); err != nil {
		return fmt.Errorf("remove content that nothing names: %w", err)
	}
	return nil
}
