package reach

import (
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Tree is the managed tree as a call sees it.
type Tree struct {
	Dir   *os.File // the tree, open as a directory; nil: symbolic links are not looked at
	Mount string   // absolute path under which the agent knows the tree
	Seen  string   // absolute path at which a command finds it, if that is another (no mounts)
	Home  string   // absolute path of the agent's private home, "" if it has none
}

// Places of a path.
const (
	InTree  = "tree"    // Path is relative to the tree, "." the tree itself
	Own     = "own"     // the agent's private home and /tmp, and devices that keep nothing
	Outside = "outside" // anywhere else; Path is absolute
	Invalid = "invalid" // holds a NUL byte, or its links go round in a circle
)

// Place is where a path leads.
type Place struct {
	Path  string // cleaned, slash-separated
	Where string
}

const (
	maxLinks  = 40   // Linux's own limit, MAXSYMLINKS
	maxTarget = 4096 // bytes of a link's target, PATH_MAX
)

// Locate says where p leads for a process whose working directory is dir (relative to the tree, ""
// is its top; or absolute). It walks as the kernel does, so that a write through a symbolic link is a write
// to its target, and "link/.." is the parent of what the link points to. A link at the end is
// followed only if last is set or p ends with a slash: deleting one does not delete its target. What does not exist is taken
// as it is spelled.
//
// The answer is about this moment. Tools go through os.Root or the sandbox, which hold whatever
// the tree has become by then.
func (t Tree) Locate(dir, p string, last bool) Place {
	if strings.IndexByte(p, 0) >= 0 || p == "" {
		return Place{p, Invalid}
	}
	if !strings.HasPrefix(p, "/") {
		if !strings.HasPrefix(dir, "/") {
			dir = t.Mount + "/" + dir
		}
		p = dir + "/" + p
	}
	w := walk{tree: t, rest: p, last: last || strings.HasSuffix(p, "/")}
	for w.next() {
	}
	return w.place()
}

// walk is a path on its way: done is absolute, clean and free of links as far as the tree goes.
type walk struct {
	tree  Tree
	done  string
	rest  string
	last  bool // follow a link at the end
	links int
	bad   bool
}

// next moves one component from rest to done.
func (w *walk) next() bool {
	w.rest = strings.TrimLeft(w.rest, "/")
	if w.rest == "" {
		return false
	}
	name, rest, _ := strings.Cut(w.rest, "/")
	w.rest = rest
	switch name {
	case ".":
		return true
	case "..":
		w.done = w.done[:max(strings.LastIndexByte(w.done, '/'), 0)]
		return true
	}
	w.done += "/" + name
	if w.rest == "" && !w.last {
		return true
	}
	target := w.link()
	if target == "" {
		return true
	}
	if w.links++; w.links > maxLinks {
		w.bad = true
		return false
	}
	w.rest = target + "/" + w.rest
	if w.done = w.done[:strings.LastIndexByte(w.done, '/')]; target[0] == '/' {
		w.done = ""
	}
	return true
}

// link returns the target if done is a symbolic link of the tree. No part of done before the last is
// one, unless it was swapped meanwhile; then the answer is wrong, and only that: nothing is opened.
func (w *walk) link() string {
	if w.tree.Dir == nil {
		return ""
	}
	rel, ok := w.tree.inside(w.done)
	if !ok || rel == "." {
		return ""
	}
	var target [maxTarget]byte
	n, err := unix.Readlinkat(int(w.tree.Dir.Fd()), rel, target[:])
	if err != nil || n <= 0 {
		return ""
	}
	return string(target[:n])
}

func (w *walk) place() Place {
	abs := w.done
	if abs == "" {
		abs = "/"
	}
	if w.bad {
		return Place{abs, Invalid}
	}
	if rel, ok := w.tree.inside(abs); ok {
		return Place{rel, InTree}
	}
	if w.tree.own(abs) {
		return Place{abs, Own}
	}
	return Place{abs, Outside}
}

// inside returns abs relative to the tree if it is in it.
func (t Tree) inside(abs string) (string, bool) {
	if rel, ok := below(abs, t.Mount); ok {
		return rel, true
	}
	return below(abs, t.Seen)
}

// below returns p relative to dir if it is dir or below it. Both are absolute and clean.
func below(p, dir string) (string, bool) {
	if dir == "" || dir == "/" {
		return "", false
	}
	if p == dir {
		return ".", true
	}
	if strings.HasPrefix(p, dir) && p[len(dir)] == '/' {
		return p[len(dir)+1:], true
	}
	return "", false
}

// own says whether abs is a place that is the agent's alone and not part of what is recorded.
func (t Tree) own(abs string) bool {
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", "/dev/fd", "/dev/pts", "/proc/self/fd", t.Home} {
		if _, ok := below(abs, dir); ok {
			return true
		}
	}
	switch abs {
	case "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/tty":
		return true
	}
	return false
}

// gitPath says whether a path of the tree is Git's own. Git compares without case, and so that
// the answer holds on every file system, this does too.
func gitPath(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if strings.EqualFold(part, ".git") {
			return true
		}
	}
	return false
}

// secretPath says whether the name of a file is one that usually holds a secret: private keys,
// credentials and environment files. Samples and test data are not secrets.
func secretPath(p string) bool {
	p = strings.ToLower(p)
	for _, dir := range []string{"testdata/", "fixtures/", "test/", "tests/", "examples/"} {
		if strings.HasPrefix(p, dir) || strings.Contains(p, "/"+dir) {
			return false
		}
	}
	base := path.Base(p)
	for _, sample := range []string{"example", "sample", "template", ".dist", ".pub"} {
		if strings.Contains(base, sample) {
			return false
		}
	}
	for _, dir := range []string{".ssh/", ".aws/", ".gnupg/", ".kube/", ".docker/"} {
		if strings.HasPrefix(p, dir) || strings.Contains(p, "/"+dir) {
			return true
		}
	}
	return secretName(base)
}

func secretName(base string) bool {
	switch base {
	case ".env", ".envrc", ".netrc", "_netrc", ".pgpass", ".npmrc", ".pypirc", ".htpasswd", ".git-credentials", "shadow",
		"credentials", "credentials.json", "service-account.json", "secrets.yaml", "secrets.yml", "secrets.json",
		"terraform.tfstate", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519":
		return true
	}
	if strings.HasPrefix(base, ".env.") {
		return true
	}
	for _, ext := range []string{".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk"} {
		if strings.HasSuffix(base, ext) {
			return true
		}
	}
	return false
}

// buildDir says whether a path lies in a directory that tools make and remake. Deleting it loses
// nothing that a build does not bring back.
func buildDir(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		switch part {
		case "node_modules", "dist", "build", "out", "target", "bin", "obj", "coverage", "__pycache__", ".cache", ".next",
			".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox", ".venv", "venv", ".gradle", ".turbo", "tmp":
			return true
		}
	}
	return false
}
