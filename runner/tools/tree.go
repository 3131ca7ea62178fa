package tools

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links one path may pass, as in the kernel.
const maxLinks = 40

// resolve follows the links in rel as a process in the sandbox would see them, so an absolute link below the mount is
// one into the tree. The last part is followed only if last is set. What does not exist is kept as it is: the result may
// name a file to be made, and then exists is false. No part of the result is a link, at this moment.
func (s *Set) resolve(rel string, last bool) (done string, exists bool, err error) {
	rest, links := strings.Split(rel, "/"), 0
	done, exists = ".", true
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if done == "." {
				return "", false, refuse("path %s leads out of the workspace through a symbolic link", spell(rel))
			}
			done = path.Dir(done)
			continue
		}
		here := path.Join(done, part)
		info, err := s.env.Root.Lstat(here)
		if errors.Is(err, fs.ErrNotExist) {
			done, exists = here, false
			continue
		}
		if err != nil {
			return "", false, told(here, err)
		}
		if info.Mode().Type() != fs.ModeSymlink || len(rest) == 0 && !last {
			done = here
			continue
		}
		if links++; links > maxLinks {
			return "", false, refuse("path %s passes more than %d symbolic links", spell(rel), maxLinks)
		}
		if done, rest, err = s.follow(done, here, rest); err != nil {
			return "", false, err
		}
	}
	return done, exists, nil
}

// follow puts the target of the link here, which lies in the directory done, before rest.
func (s *Set) follow(done, here string, rest []string) (string, []string, error) {
	target, err := s.env.Root.Readlink(here)
	if err != nil {
		return "", nil, told(here, err)
	}
	if path.IsAbs(target) {
		inside, ok := s.below(path.Clean(target))
		if !ok {
			return "", nil, refuse("%s is a symbolic link to %s, which is outside of the workspace", spell(here), spell(target))
		}
		done, target = ".", inside
	}
	return done, append(strings.Split(target, "/"), rest...), nil
}

// parent opens the directory of a resolved path. Every part must be a directory and no link. The caller closes it.
func (s *Set) parent(rel string) (*os.Root, string, error) {
	dir, err := s.env.Root.OpenRoot(".")
	if err != nil {
		return nil, "", fmt.Errorf("open tree: %w", err)
	}
	up, base := path.Split(rel)
	for _, part := range strings.Split(strings.TrimSuffix(up, "/"), "/") {
		if part == "" {
			continue
		}
		next, err := descend(dir, part)
		dir.Close()
		if err != nil {
			return nil, "", told(rel, err)
		}
		dir = next
	}
	return dir, base, nil
}

// errSwapped means that something is no longer what it was when the call was planned.
var errSwapped = errors.New("it changed since the call was decided")

// descend opens the directory name in dir, refusing a link, also one that is put there meanwhile.
func descend(dir *os.Root, name string) (*os.Root, error) {
	before, err := dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	switch {
	case before.Mode().Type() == fs.ModeSymlink:
		return nil, errSwapped
	case !before.IsDir():
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
	}
	// With "/." os.Root opens name as a directory only, so a FIFO that is put there meanwhile cannot block.
	next, err := dir.OpenRoot(name + "/.")
	if err != nil {
		return nil, err
	}
	after, err := next.Stat(".")
	if err == nil && !os.SameFile(before, after) {
		err = errSwapped
	}
	if err != nil {
		next.Close()
		return nil, err
	}
	return next, nil
}

// openDir opens the directory at a resolved path.
func (s *Set) openDir(rel string) (*os.Root, error) {
	dir, base, err := s.parent(rel)
	if err != nil || base == "" || base == "." {
		return dir, err
	}
	defer dir.Close()
	sub, err := descend(dir, base)
	if err != nil {
		return nil, told(rel, err)
	}
	return sub, nil
}

// openFile opens the regular file at a resolved path for reading.
func (s *Set) openFile(rel string) (*os.File, fs.FileInfo, error) {
	dir, base, err := s.parent(rel)
	if err != nil {
		return nil, nil, err
	}
	defer dir.Close()
	f, info, err := openRegular(dir, base)
	if err != nil {
		return nil, nil, told(rel, err)
	}
	return f, info, nil
}

// openRegular opens name in dir if it is a regular file. Opening neither follows a link nor waits on a FIFO.
func openRegular(dir *os.Root, name string) (*os.File, fs.FileInfo, error) {
	before, err := dir.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if err := regular(before); err != nil {
		return nil, nil, err
	}
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = errSwapped
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, after, nil
}

func regular(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return syscall.EISDIR
	case mode.Type() == fs.ModeSymlink:
		return errSwapped
	default:
		return refuse("it is not a regular file but %s", typeName(mode))
	}
}

func typeName(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a symbolic link"
	case fs.ModeNamedPipe:
		return "a FIFO"
	case fs.ModeSocket:
		return "a socket"
	}
	return "a device"
}

// makeParents is parent, but makes the directories that are missing. made are the new ones, also when it fails.
func (s *Set) makeParents(rel string) (dir *os.Root, base string, made []string, err error) {
	if dir, err = s.env.Root.OpenRoot("."); err != nil {
		return nil, "", nil, fmt.Errorf("open tree: %w", err)
	}
	up, base := path.Split(rel)
	at := "."
	for _, part := range strings.Split(strings.TrimSuffix(up, "/"), "/") {
		if part == "" {
			continue
		}
		at = path.Join(at, part)
		fresh, err := makeDir(dir, part)
		if fresh {
			made = append(made, at)
		}
		var next *os.Root
		if err == nil {
			next, err = descend(dir, part)
		}
		dir.Close()
		if err != nil {
			return nil, "", made, told(at, err)
		}
		dir = next
	}
	return dir, base, made, nil
}

// makeDir makes the directory name in dir unless something is there; descend then says whether it will do.
func makeDir(dir *os.Root, name string) (fresh bool, err error) {
	err = dir.Mkdir(name, 0o755)
	switch {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, err
	}
	owner, err := ownerOf(dir)
	if err != nil {
		return true, err
	}
	return true, owner.give(func(uid, gid int) error { return dir.Lchown(name, uid, gid) })
}

// replace puts a file with this content in the place of base: a new file beside it, then a rename, so that no reader
// sees half of it. Nothing is synced: after a crash the tree is restored from the journal. id keeps the new file's name
// apart from those of other calls.
func replace(dir *os.Root, base, id string, content []byte, mode fs.FileMode) error {
	temp := tempName(base, id)
	if err := dir.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = fill(f, dir, content, mode); err == nil {
		err = dir.Rename(temp, base)
	}
	if err != nil {
		return errors.Join(err, dir.Remove(temp))
	}
	return nil
}

func tempName(base, id string) string {
	sum := sha256.Sum256([]byte(id + "\x00" + base))
	return fmt.Sprintf(".tacho-%x.tmp", sum[:8])
}

func fill(f *os.File, dir *os.Root, content []byte, mode fs.FileMode) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Chmod(mode.Perm())
	}
	var owner owner
	if err == nil {
		owner, err = ownerOf(dir)
	}
	if err == nil {
		err = owner.give(f.Chown)
	}
	return errors.Join(err, f.Close())
}

// owner is who a new file belongs to: as root, whoever owns the directory it is made in, so that the agent's processes,
// which run as that user, can go on with it. Everyone else can make files only for himself.
type owner struct {
	uid, gid int
	change   bool
}

func ownerOf(dir *os.Root) (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	info, err := dir.Stat(".")
	if err != nil {
		return owner{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return owner{}, fmt.Errorf("stat %s: no owner known on this system", dir.Name())
	}
	return owner{int(st.Uid), int(st.Gid), st.Uid != 0 || st.Gid != 0}, nil
}

func (o owner) give(chown func(uid, gid int) error) error {
	if !o.change {
		return nil
	}
	return chown(o.uid, o.gid)
}

// told turns an error about rel that a model can act on into a refusal and leaves the others.
func told(rel string, err error) error {
	var no *refusal
	name := spell(rel)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &no):
		if strings.HasPrefix(no.text, "it ") {
			return refuse("%s: %s", name, no.text)
		}
		return err
	case errors.Is(err, fs.ErrNotExist):
		return refuse("%s does not exist; list_files shows what does", name)
	case errors.Is(err, errSwapped):
		return refuse("%s changed while the call was decided (a symbolic link was put there); nothing was done, try again", name)
	case errors.Is(err, syscall.ENOTDIR):
		return refuse("%s: a part of the path is not a directory", name)
	case errors.Is(err, syscall.EISDIR):
		return refuse("%s is a directory", name)
	case errors.Is(err, fs.ErrPermission):
		return refuse("%s: permission denied", name)
	case errors.Is(err, syscall.ENAMETOOLONG):
		return refuse("%.200s…: the name is too long", name)
	case errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, fs.ErrExist):
		return refuse("%s already exists", name)
	case errors.Is(err, syscall.ELOOP):
		return refuse("%s passes too many symbolic links", name)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return fmt.Errorf("use %s: %w", name, err)
}
