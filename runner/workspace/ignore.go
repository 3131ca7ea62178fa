package workspace

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"tachograph/schemas/journal"
)

// IgnoreName is the file at the top of a tree that names what is left out. Files of this name
// further down are ordinary files. It is itself never left out, so every root shows its rules.
const IgnoreName = ".tachoignore"

const maxIgnore = 1 << 20

// DefaultSecrets are the patterns used when Options.Secrets is nil: names under which keys and
// passwords are usually kept. Examples and templates of them are stored.
func DefaultSecrets() []string {
	return []string{
		".env", ".env.*", "*.env", "!.env.example", "!.env.sample", "!.env.template", "!.env.dist",
		"*.pem", "*.key", "*.p12", "*.pfx", "*.p8", "*.jks", "*.keystore", "*.kdbx", "*.ppk",
		"id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk",
		"credentials", "credentials.json", "client_secret*.json", "service-account*.json",
		".netrc", "_netrc", ".git-credentials", ".npmrc", ".pypirc", ".pgpass", ".htpasswd",
		".docker/config.json", ".kube/config", "kubeconfig", "*.tfstate", "*.tfvars",
	}
}

// SecretName says whether a path, relative to the top of a tree, matches one of DefaultSecrets: the
// bytes of such a file may be missing although its tree is whole.
func SecretName(path string) bool {
	return parseRules(strings.Join(DefaultSecrets(), "\n")).match(path, false)
}

// rules are the patterns of one ignore text, as gitignore(5): the last one that matches decides;
// "!" takes back; a slash at the end means directories only, one before it binds the pattern to the
// top; "*" and "?" stay within a component, "**" crosses. What lies below a directory that is left
// out cannot be taken back, because nobody looks there.
type rules []rule

type rule struct {
	parts    []string // components; "**" for any number of them
	negate   bool
	dirsOnly bool
}

func parseRules(text string) rules {
	var all rules
	for line := range strings.Lines(text) {
		if r, ok := parseRule(strings.TrimRight(line, "\r\n")); ok {
			all = append(all, r)
		}
	}
	return all
}

func parseRule(line string) (rule, bool) {
	var r rule
	line = trimSpaces(line)
	if line == "" || line[0] == '#' {
		return r, false
	}
	line, r.negate = strings.CutPrefix(line, "!")
	if strings.HasPrefix(line, `\#`) || strings.HasPrefix(line, `\!`) {
		line = line[1:]
	}
	line, r.dirsOnly = strings.CutSuffix(line, "/")
	bound := strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return r, false
	}
	if !bound {
		r.parts = append(r.parts, "**")
	}
	for part := range strings.SplitSeq(line, "/") {
		// gitignore negates a class by "!", path.Match by "^".
		r.parts = append(r.parts, strings.ReplaceAll(part, "[!", "[^"))
	}
	return r, true
}

// trimSpaces removes spaces at the end, but not one that a backslash protects.
func trimSpaces(line string) string {
	trimmed := strings.TrimRight(line, " ")
	if len(trimmed) < len(line) && strings.HasSuffix(trimmed, `\`) {
		return trimmed + " "
	}
	return trimmed
}

// match says whether the last rule that matches the path takes it in.
func (rs rules) match(p string, dir bool) bool {
	if len(rs) == 0 {
		return false
	}
	parts := strings.Split(p, "/")
	for i := len(rs) - 1; i >= 0; i-- {
		if r := &rs[i]; (dir || !r.dirsOnly) && matchParts(r.parts, parts) {
			return !r.negate
		}
	}
	return false
}

// matchParts matches with backtracking to the newest "**" only, which is enough, because a "**"
// that matched more would leave the later ones no other choice than they have.
func matchParts(pattern, name []string) bool {
	p, n, backP, backN := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			if p == len(pattern)-1 {
				return true // something is left for it: "a/**" does not match "a" itself
			}
			backP, backN = p, n
			p++
		case p < len(pattern) && matchPart(pattern[p], name[n]):
			p, n = p+1, n+1
		case backP >= 0:
			backN++
			p, n = backP+1, backN
		default:
			return false
		}
	}
	return p == len(pattern)
}

func matchPart(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

// IgnoreText returns the text of .tachoignore in the tree root, "" if it has none.
func IgnoreText(ctx context.Context, objs Objects, root journal.Object) (string, error) {
	top, err := loadDir(ctx, objs, root)
	if err != nil {
		return "", err
	}
	e := top.find(IgnoreName)
	if e == nil || e.Type != journal.TypeFile {
		return "", nil
	}
	b, err := loadBytes(ctx, objs, e.Object)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // it matched a secret pattern: a strange choice, but its owner's
	}
	return string(b), err
}

// readIgnore reads .tachoignore from an open directory, "" if there is none.
func readIgnore(top folder) (string, error) {
	fd, err := top.openFile(IgnoreName)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || typeOf(&st) != unix.S_IFREG {
		return "", err
	}
	if st.Size > maxIgnore {
		return "", wrap("read", IgnoreName, errors.New("more than 1 MiB"))
	}
	b := make([]byte, st.Size)
	n, err := readFull(fd, b, 0)
	return string(b[:n]), wrap("read", IgnoreName, err)
}
