package workspace_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutator does random things to a directory. The same seed does the same to equal directories.
type mutator struct {
	rng     *rand.Rand
	dir     string
	careful bool // never take permissions from the owner: without root he would lose access
	touched []string
	files   []string // regular files and links, relative
	dirs    []string // "" is the top
}

// mutate does ops operations and returns the paths it touched.
func mutate(seed uint64, dir string, ops int, careful bool) ([]string, error) {
	m := &mutator{rng: rand.New(rand.NewPCG(seed, 1)), dir: dir, careful: careful}
	for range ops {
		if err := m.look(); err != nil {
			return nil, err
		}
		if err := m.operate(); err != nil {
			return nil, err
		}
	}
	return m.touched, nil
}

func (m *mutator) look() error {
	m.files, m.dirs = nil, nil
	return filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(m.dir, path)
		switch {
		case rel == ".":
			m.dirs = append(m.dirs, "")
		case d.IsDir():
			m.dirs = append(m.dirs, rel)
		default:
			m.files = append(m.files, rel)
		}
		return err
	})
}

func (m *mutator) operate() error {
	operations := []func() error{
		m.create, m.create, m.edit, m.edit, m.edit, m.appendLines, m.truncate, m.renameFile, m.renameDir,
		m.remove, m.removeDir, m.chmod, m.chmodDir, m.link, m.mkdir, m.dirToFile, m.fileToDir, m.rewriteSame,
	}
	return operations[m.rng.IntN(len(operations))]()
}

func (m *mutator) abs(rel string) string { return m.dir + "/" + rel }

func (m *mutator) touch(rels ...string) { m.touched = append(m.touched, rels...) }

func (m *mutator) pick(from []string) string { return from[m.rng.IntN(len(from))] }

// writable picks a file to be written to. Whether a write takes setuid away depends on who writes
// where; so it is taken away before.
func (m *mutator) writable() (string, bool) {
	f, ok := m.regular()
	if !ok {
		return f, false
	}
	info, err := os.Lstat(m.abs(f))
	if err != nil {
		return f, false
	}
	m.touch(f)
	return f, os.Chmod(m.abs(f), info.Mode().Perm()) == nil
}

func (m *mutator) regular() (string, bool) {
	files := slices.DeleteFunc(slices.Clone(m.files), func(f string) bool {
		info, err := os.Lstat(m.abs(f))
		return err != nil || !info.Mode().IsRegular()
	})
	if len(files) == 0 {
		return "", false
	}
	return m.pick(files), true
}

// free is a new path in some directory, often with a name that is hard to handle.
func (m *mutator) free() string {
	stems := []string{"a", "file.go", "ünïcode-ß", "not\xffutf8\xfe", "line\nfeed", " space ", "-rf", "x.bin", "*", `q"uo\te`, strings.Repeat("long", 20)}
	return filepath.Join(m.pick(m.dirs), fmt.Sprintf("%s%d", m.pick(stems), m.rng.IntN(1000)))
}

func (m *mutator) bytes() []byte {
	switch n := m.rng.IntN(20); {
	case n == 0:
		return nil
	case n == 1: // larger than a chunk, with a hole
		b := make([]byte, 2<<20+m.rng.IntN(3<<19))
		b[len(b)-1] = byte(m.rng.Uint32())
		return b
	case n < 5:
		b := make([]byte, m.rng.IntN(5000))
		for i := range b {
			b[i] = byte(m.rng.Uint32())
		}
		return b
	}
	var b bytes.Buffer
	for range m.rng.IntN(40) {
		fmt.Fprintf(&b, "line %d\n", m.rng.IntN(1000))
	}
	return b.Bytes()
}

func (m *mutator) create() error {
	f := m.free()
	if _, err := os.Lstat(m.abs(f)); err == nil {
		return nil
	}
	m.touch(f)
	return os.WriteFile(m.abs(f), m.bytes(), 0o644)
}

func (m *mutator) edit() error {
	f, ok := m.writable()
	if !ok {
		return nil
	}
	m.touch(f)
	return os.WriteFile(m.abs(f), m.bytes(), 0)
}

func (m *mutator) appendLines() error {
	f, ok := m.writable()
	if !ok {
		return nil
	}
	m.touch(f)
	file, err := os.OpenFile(m.abs(f), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString("one more\n")
	return err
}

func (m *mutator) rewriteSame() error {
	f, ok := m.writable()
	if !ok {
		return nil
	}
	b, err := os.ReadFile(m.abs(f))
	if err != nil {
		return err
	}
	m.touch(f)
	return os.WriteFile(m.abs(f), b, 0)
}

func (m *mutator) truncate() error {
	f, ok := m.writable()
	if !ok {
		return nil
	}
	m.touch(f)
	return os.Truncate(m.abs(f), int64(m.rng.IntN(100)))
}

func (m *mutator) renameFile() error {
	if len(m.files) == 0 {
		return nil
	}
	from, to := m.pick(m.files), m.free()
	if _, err := os.Lstat(m.abs(to)); err == nil {
		return nil
	}
	m.touch(from, to)
	return os.Rename(m.abs(from), m.abs(to))
}

// renameDir copes with overlays, where a directory that is also in the lower cannot be renamed
// and tools copy it instead.
func (m *mutator) renameDir() error {
	from, to := m.pick(m.dirs), m.free()
	if from == "" || to == from || strings.HasPrefix(to, from+"/") {
		return nil
	}
	if _, err := os.Lstat(m.abs(to)); err == nil {
		return nil
	}
	m.touch(from, to)
	if err := copyAll(m.abs(from), m.abs(to)); err != nil {
		return err
	}
	return os.RemoveAll(m.abs(from))
}

func copyAll(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	if !info.IsDir() {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			return err
		}
		return os.Chmod(to, info.Mode())
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyAll(from+"/"+e.Name(), to+"/"+e.Name()); err != nil {
			return err
		}
	}
	return os.Chmod(to, info.Mode())
}

func (m *mutator) remove() error {
	if len(m.files) == 0 {
		return nil
	}
	f := m.pick(m.files)
	m.touch(f)
	return os.Remove(m.abs(f))
}

func (m *mutator) removeDir() error {
	d := m.pick(m.dirs)
	if strings.Count(d, "/") == 0 { // not the top, and seldom half of all
		return nil
	}
	m.touch(d)
	return os.RemoveAll(m.abs(d))
}

func (m *mutator) chmod() error {
	f, ok := m.regular()
	if !ok {
		return nil
	}
	m.touch(f)
	modes := []fs.FileMode{0o644, 0o755, 0o600, 0o777, 0o755 | fs.ModeSetuid, 0o2755}
	if !m.careful {
		modes = append(modes, 0, 0o400, 0o111)
	}
	return os.Chmod(m.abs(f), modes[m.rng.IntN(len(modes))])
}

func (m *mutator) chmodDir() error {
	d := m.pick(m.dirs)
	if d == "" {
		return nil
	}
	m.touch(d)
	modes := []fs.FileMode{0o755, 0o700, 0o777 | fs.ModeSticky}
	if !m.careful {
		modes = append(modes, 0, 0o500, 0o555, 0o300)
	}
	return os.Chmod(m.abs(d), modes[m.rng.IntN(len(modes))])
}

func (m *mutator) link() error {
	f := m.free()
	if _, err := os.Lstat(m.abs(f)); err == nil {
		return nil
	}
	targets := []string{"nowhere", "/etc/passwd", "..", ".", "../../../../../../tmp", "bad\xff\ntarget"}
	m.touch(f)
	return os.Symlink(m.pick(append(targets, m.dirs[1:]...)), m.abs(f))
}

func (m *mutator) mkdir() error {
	d := m.free()
	m.touch(d)
	return os.MkdirAll(m.abs(d)+"/deep/er", 0o755)
}

func (m *mutator) dirToFile() error {
	d := m.pick(m.dirs)
	if strings.Count(d, "/") == 0 {
		return nil
	}
	m.touch(d)
	if err := os.RemoveAll(m.abs(d)); err != nil {
		return err
	}
	return os.WriteFile(m.abs(d), m.bytes(), 0o644)
}

func (m *mutator) fileToDir() error {
	if len(m.files) == 0 {
		return nil
	}
	f := m.pick(m.files)
	m.touch(f)
	if err := os.Remove(m.abs(f)); err != nil {
		return err
	}
	if err := os.Mkdir(m.abs(f), 0o755); err != nil {
		return err
	}
	return os.WriteFile(m.abs(f)+"/inside", m.bytes(), 0o644)
}
