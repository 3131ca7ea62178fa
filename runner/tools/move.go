package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// moveFile is the tool move_file.
type moveFile struct {
	From      string `json:"from"`
	To        string `json:"to"`
	Overwrite bool   `json:"overwrite"`
}

func moveTool() *tool {
	return &tool{
		name: "move_file",
		about: "Moves or renames a file, directory or symbolic link. Directories above the new path are made. The new path " +
			"is the whole path, not the directory to put it in.",
		params: []param{
			{name: "from", kind: text, required: true, min: 1, about: "What to move."},
			{name: "to", kind: text, required: true, min: 1, about: "Its new path."},
			{name: "overwrite", kind: boolean, about: "Replace a file that is at the new path."},
		},
		action: func() action { return &moveFile{} },
	}
}

func (a *moveFile) plan(s *Set, p *Plan) error {
	from, err := s.target(a.From, false)
	if err != nil {
		return err
	}
	to, err := s.target(a.To, false)
	if err != nil {
		return err
	}
	switch {
	case from == to:
		return refuse("from and to are the same path, %s", spell(from))
	case strings.HasPrefix(to, from+"/"):
		return refuse("%s cannot be moved into itself", spell(from))
	}
	a.From, a.To = from, to
	p.Effect = EffectWrite
	p.Targets = Targets{Write: []string{spell(to)}, Delete: []string{spell(from)}}
	return nil
}

func (a *moveFile) run(_ context.Context, s *Set, _ Plan, _ Input) (Outcome, error) {
	s.write.Lock()
	defer s.write.Unlock()
	source, oldBase, err := s.parent(a.From)
	if err != nil {
		return Outcome{}, err
	}
	defer source.Close()
	if _, err := source.Lstat(oldBase); err != nil {
		return Outcome{}, told(a.From, err)
	}
	dest, newBase, made, err := s.makeParents(a.To)
	out := Outcome{Touched: made}
	if err != nil {
		return out, err
	}
	defer dest.Close()
	if err := a.room(dest, newBase); err != nil {
		return out, told(a.To, err)
	}
	if err := rename(source, oldBase, dest, newBase); err != nil {
		return out, told(a.To, err)
	}
	out.Touched, out.Observed = append(out.Touched, a.From, a.To), EffectWrite
	out.Text = fmt.Sprintf("moved %s to %s", spell(a.From), spell(a.To))
	return out, nil
}

// room refuses a new path that is taken.
func (a *moveFile) room(dest *os.Root, base string) error {
	info, err := dest.Lstat(base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return refuse("it is a directory; to move into it, name the whole new path, %s", spell(path.Join(a.To, path.Base(a.From))))
	case !a.Overwrite:
		return refuse("it exists already; set overwrite to replace it")
	}
	return nil
}

// rename works between two open directories, which os.Root cannot: by path, a directory swapped for a link between
// decision and rename would send the file elsewhere in the tree.
func rename(source *os.Root, oldBase string, dest *os.Root, newBase string) error {
	from, err := source.Open(".")
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := dest.Open(".")
	if err != nil {
		return err
	}
	defer to.Close()
	return unix.Renameat(int(from.Fd()), oldBase, int(to.Fd()), newBase)
}

// deleteFile is the tool delete_file.
type deleteFile struct {
	Path      string `json:"path"`
	Recursive bool   `json:"recursive"`
}

func deleteTool() *tool {
	return &tool{
		name:  "delete_file",
		about: "Deletes a file, a symbolic link (not what it points to) or a directory.",
		params: []param{
			{name: "path", kind: text, required: true, min: 1, about: "What to delete."},
			{name: "recursive", kind: boolean, about: "Delete a directory with all that is in it."},
		},
		action: func() action { return &deleteFile{} },
	}
}

func (a *deleteFile) plan(s *Set, p *Plan) error {
	rel, err := s.target(a.Path, false)
	if err != nil {
		return err
	}
	a.Path = rel
	p.Effect, p.Idempotent, p.Targets.Delete = EffectDelete, true, []string{spell(rel)}
	return nil
}

func (a *deleteFile) run(ctx context.Context, s *Set, _ Plan, _ Input) (Outcome, error) {
	s.write.Lock()
	defer s.write.Unlock()
	dir, base, err := s.parent(a.Path)
	if err != nil {
		return Outcome{}, err
	}
	defer dir.Close()
	info, err := dir.Lstat(base)
	if err != nil {
		return Outcome{}, told(a.Path, err)
	}
	out := Outcome{Touched: []string{a.Path}, Observed: EffectDelete, Text: "deleted " + spell(a.Path)}
	if !info.IsDir() || !a.Recursive {
		err = dir.Remove(base)
		if info.IsDir() && errors.Is(err, fs.ErrExist) {
			err = refuse("it is a directory that is not empty; set recursive to delete it with all that is in it")
		}
		return out, told(a.Path, err)
	}
	out.Text += fmt.Sprintf("/ with %s in it", plural(s.countBelow(ctx, a.Path), "entry", "entries"))
	if err := dir.RemoveAll(base); err != nil {
		return out, told(a.Path, err)
	}
	return out, nil
}

// countBelow counts the entries below a directory, as far as the limit lets it.
func (s *Set) countBelow(ctx context.Context, rel string) int {
	n := 0
	w := walker{ctx: ctx, left: s.env.Limits.Entries, git: true, each: func(found) error { n++; return nil }}
	// A walk that ends early makes only the number in the text smaller; the deletion reports what matters.
	_ = s.searchDir(&w, rel)
	return n
}
