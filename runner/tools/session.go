package tools

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// session is what one call of bash leaves to the next. Its bytes, of which there is one spelling for each session:
//
//	"tacho-session-1" NUL
//	directory NUL                 absolute, as the agent knows it; empty: the workspace
//	{ NAME "=" value NUL          exported with this value
//	| NAME NUL }                  not exported, though Env.Vars or the sandbox sets it
//
// Items are in strictly ascending byte order of NAME, which is not empty and holds no "=". A function f is exported as
// bash does it, as the variable BASH_FUNC_f%%. Attributes such as readonly and integer are not kept, nor are arrays,
// which bash cannot export. The empty session is no bytes at all.
type session struct {
	dir  string
	vars map[string]*string // nil: not exported
}

const (
	sessionMagic = "tacho-session-1"
	// maxVariable is below what the kernel takes as one string of an environment.
	maxVariable = 100 << 10
)

func decodeSession(raw []byte) (session, error) {
	if len(raw) == 0 {
		return session{}, nil
	}
	items := strings.Split(string(raw), "\x00")
	n := len(items)
	if n < 3 || items[0] != sessionMagic || items[n-1] != "" {
		return session{}, errors.New("decode session: it does not begin and end as one")
	}
	s := session{dir: items[1], vars: map[string]*string{}}
	if s.dir != "" && !path.IsAbs(s.dir) {
		return session{}, fmt.Errorf("decode session: directory %.80q is not absolute", s.dir)
	}
	last := ""
	for _, item := range items[2 : n-1] {
		name, value, given := strings.Cut(item, "=")
		if name <= last {
			return session{}, fmt.Errorf("decode session: variable %.80q is out of order", name)
		}
		last = name
		if s.vars[name] = nil; given {
			s.vars[name] = &value
		}
	}
	if s.dir == "" && len(s.vars) == 0 {
		return session{}, errors.New("decode session: the empty session is spelled as no bytes")
	}
	return s, nil
}

func (s session) encode() ([]byte, error) {
	if s.dir == "" && len(s.vars) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	put := func(item string) error {
		if strings.IndexByte(item, 0) >= 0 {
			return fmt.Errorf("encode session: %.80q holds a NUL byte", item)
		}
		b.WriteString(item)
		b.WriteByte(0)
		return nil
	}
	err := errors.Join(put(sessionMagic), put(s.dir))
	for _, name := range slices.Sorted(maps.Keys(s.vars)) {
		item := name
		if v := s.vars[name]; v != nil {
			item += "=" + *v
		}
		err = errors.Join(err, put(item))
	}
	if err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// environ applies the session to base, of which the last value of a name counts.
func (s session) environ(base []string) []string {
	env := mapOf(base)
	for name, value := range s.vars {
		if delete(env, name); value != nil {
			env[name] = *value
		}
	}
	out := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

func mapOf(env []string) map[string]string {
	m := make(map[string]string, len(env))
	for _, e := range env {
		if name, value, ok := strings.Cut(e, "="); ok && name != "" {
			m[name] = value
		}
	}
	return m
}

// record is what prelude.bash wrote; the format is there.
type record struct {
	started  bool
	home     map[string]string // what the sandbox set
	complete bool
	dir      string
	env      []string
}

// recorder takes the record in, up to room bytes; the rest is dropped, which makes the record incomplete.
type recorder struct {
	bytes []byte
	room  int
}

func (r *recorder) Write(p []byte) (int, error) {
	n := min(len(p), r.room-len(r.bytes))
	r.bytes = append(r.bytes, p[:n]...)
	return len(p), nil
}

// parseRecord finds the start and the last complete record. Anything may stand between and around them.
func parseRecord(raw []byte, nonce string) record {
	var r record
	items := strings.Split(string(raw), "\x00")
	if i := indexSuffix(items, "start:"+nonce); i >= 0 && i+4 < len(items) {
		r.started = true
		r.home = map[string]string{"HOME": items[i+1], "TMPDIR": items[i+2], "PATH": items[i+3], "LANG": items[i+4]}
	}
	for rest := items; ; {
		i := slices.Index(rest, "record:"+nonce)
		if i < 0 || i+1 >= len(rest) {
			return r
		}
		dir := rest[i+1]
		rest = rest[i+2:]
		end := slices.Index(rest, "TACHO_END_"+nonce+"=")
		if end < 0 || !path.IsAbs(dir) {
			continue
		}
		r.complete, r.dir, r.env = true, dir, rest[:end]
		rest = rest[end+1:]
	}
}

// indexSuffix finds the item that ends in suffix: a warning of the dynamic linker may stand before the first one.
func indexSuffix(items []string, suffix string) int {
	return slices.IndexFunc(items, func(s string) bool { return strings.HasSuffix(s, suffix) })
}

// session makes the session that the record leaves: what differs from the environment that the next call begins with
// anyway. What does not fit into room bytes is left as it was before and named, largest first.
func (r record) session(base []string, before session, room int) (session, []string) {
	given, now := mapOf(base), mapOf(r.env)
	for name, value := range r.home {
		if _, set := before.vars[name]; !set && given[name] == "" {
			given[name] = value
		}
	}
	s := session{dir: r.dir, vars: map[string]*string{}}
	for name, value := range now {
		if was, ok := given[name]; !carried(name) || ok && was == value {
			continue
		}
		s.vars[name] = &value
	}
	for name := range given {
		if _, ok := now[name]; !ok && carried(name) {
			s.vars[name] = nil
		}
	}
	return s, s.fit(room)
}

// fit drops the largest variables until the session has room.
func (s session) fit(room int) []string {
	size := func(name string) int {
		if v := s.vars[name]; v != nil {
			return len(name) + len(*v) + 2
		}
		return len(name) + 1
	}
	total := len(sessionMagic) + len(s.dir) + 2
	for name := range s.vars {
		total += size(name)
	}
	order := slices.SortedFunc(maps.Keys(s.vars), func(a, b string) int {
		if d := size(b) - size(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var left []string
	for _, name := range order {
		if total <= room && size(name) <= maxVariable {
			break
		}
		total -= size(name)
		left = append(left, fmt.Sprintf("%.60s", spell(name)))
		delete(s.vars, name)
	}
	return left
}

// carried tells whether a variable belongs to the session. Not carried is what bash sets itself, what only this package
// uses, and what would change how the next call's bash starts or shadow a builtin that prelude.bash needs: an agent
// could lock itself out with it.
func carried(name string) bool {
	switch name {
	case "_", "SHLVL", "PWD", "BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "BASH_XTRACEFD", "POSIXLY_CORRECT", "FUNCNEST":
		return false
	}
	if strings.HasPrefix(name, "TACHO_") || strings.HasPrefix(name, "__tacho_") {
		return false
	}
	function, ok := strings.CutPrefix(name, "BASH_FUNC_")
	if !ok {
		return true
	}
	switch strings.TrimSuffix(function, "%%") {
	case "builtin", "cd", "eval", "exec", "printf", "return", "set", "shift", "trap", "unset", "local":
		return false
	}
	return !strings.HasPrefix(function, "__tacho_")
}
