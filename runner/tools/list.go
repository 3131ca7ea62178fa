package tools

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
)

// listFiles is the tool list_files.
type listFiles struct {
	Path   string `json:"path"`
	Glob   string `json:"glob"`
	Depth  int    `json:"depth"`
	Limit  int    `json:"limit"`
	Offset int    `json:"offset"`

	glob *glob
}

const (
	defaultListed = 500
	defaultDepth  = 2
)

func listTool() *tool {
	return &tool{
		name: "list_files",
		about: "Lists files and directories in byte order of their paths, one per line: path, tab, size in bytes; " +
			"directories end in /, symbolic links show their target. Paths are relative to the workspace.",
		params: []param{
			{name: "path", kind: text, about: "Directory to list. Default: the workspace."},
			{name: "glob", kind: text, max: 1000, about: "Only paths that match. " + globAbout},
			{name: "depth", kind: integer, min: 1, max: 100, about: "Levels to go down; deeper directories end in /… . Default 2, with glob all."},
			{name: "limit", kind: integer, min: 1, max: 10_000, about: "How many lines. Default 500."},
			{name: "offset", kind: integer, min: 0, max: maxInt, about: "Lines to pass over, to see the next part of a long list."},
		},
		action: func() action { return &listFiles{} },
	}
}

func (a *listFiles) plan(s *Set, p *Plan) (err error) {
	if a.Path == "" {
		a.Path = "."
	}
	if a.Depth == 0 && a.Glob == "" {
		a.Depth = defaultDepth
	}
	orElse(&a.Limit, defaultListed)
	if a.glob, err = compileGlob(a.Glob); err != nil {
		return err
	}
	return s.planRead(p, &a.Path)
}

// planRead completes a plan that reads what is at *path, which becomes the resolved path.
func (s *Set) planRead(p *Plan, path *string) error {
	rel, err := s.existing(*path)
	if err != nil {
		return err
	}
	*path = rel
	p.Effect, p.Idempotent = EffectRead, true
	p.Targets.Read = []string{spell(rel)}
	return nil
}

// existing resolves a path argument and refuses it if nothing is there.
func (s *Set) existing(arg string) (string, error) {
	rel, err := s.relative(arg)
	if err != nil {
		return "", err
	}
	rel, exists, err := s.resolve(rel, true)
	if err == nil && !exists {
		err = told(rel, fs.ErrNotExist)
	}
	return rel, err
}

func (a *listFiles) run(ctx context.Context, s *Set, _ Plan, _ Input) (Outcome, error) {
	return s.bounded(ctx, func(ctx context.Context) (Outcome, error) {
		dir, err := s.openDir(a.Path)
		if err != nil {
			return Outcome{}, err
		}
		defer dir.Close()
		l := listing{ask: a, room: s.env.Limits.Show}
		w := walker{ctx: ctx, depth: a.Depth, left: s.env.Limits.Entries, git: insideGit(a.Path), each: l.visit}
		if err := w.walk(dir, a.Path); err != nil {
			return Outcome{}, err
		}
		return Outcome{Text: l.finish(&w), Observed: EffectRead}, nil
	})
}

// listing gathers the lines of list_files.
type listing struct {
	ask   *listFiles
	room  int
	text  strings.Builder
	seen  int // entries that match
	shown int
	more  bool
}

func (l *listing) visit(f found) error {
	if !l.ask.glob.match(f.sub, f.name) {
		return nil
	}
	if l.seen++; l.seen <= l.ask.Offset {
		return nil
	}
	line := describeEntry(f)
	if l.shown == l.ask.Limit || l.shown > 0 && l.text.Len()+len(line) > l.room {
		l.more = true
		return errEnough
	}
	l.text.WriteString(line)
	l.shown++
	return nil
}

func describeEntry(f found) string {
	name := spell(f.rel)
	switch {
	case f.kind.IsDir() && f.last:
		return name + "/…\n"
	case f.kind.IsDir():
		return name + "/\n"
	case f.kind == fs.ModeSymlink:
		target, err := f.dir.Readlink(f.name)
		if err != nil {
			target = "?"
		}
		return name + " -> " + spell(target) + "\n"
	case f.kind != 0:
		return fmt.Sprintf("%s (%s)\n", name, typeName(f.kind))
	}
	info, err := f.dir.Lstat(f.name)
	if err != nil {
		return name + "\t?\n"
	}
	return fmt.Sprintf("%s\t%d\n", name, info.Size())
}

func (l *listing) finish(w *walker) string {
	var remarks []string
	switch {
	case l.more:
		remarks = append(remarks, fmt.Sprintf("there are more; list_files with offset=%d shows the next ones", l.ask.Offset+l.shown))
	case l.shown == 0 && l.seen > 0:
		remarks = append(remarks, fmt.Sprintf("there are only %d", l.seen))
	case l.shown == 0 && l.ask.glob != nil:
		remarks = append(remarks, "nothing matches")
	case l.shown == 0:
		remarks = append(remarks, "it is empty")
	}
	return withRemarks(l.text.String(), append(remarks, w.remarks()...)...)
}
