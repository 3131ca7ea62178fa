package tools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// writeFile is the tool write_file.
type writeFile struct {
	Path       string `json:"path"`
	Content    string `json:"content"`
	Executable bool   `json:"executable"`
}

func writeTool() *tool {
	return &tool{
		name: "write_file",
		about: "Writes a whole text file, new or in place of the old one; missing directories are made. To change a part " +
			"of a file, edit_file is shorter and safer.",
		params: []param{
			{name: "path", kind: text, required: true, min: 1, about: "File to write."},
			{name: "content", kind: text, required: true, about: "All of the new content, exactly."},
			{name: "executable", kind: boolean, about: "Make it executable. Default: as the old file was, a new one is not."},
		},
		action: func() action { return &writeFile{} },
	}
}

func (a *writeFile) plan(s *Set, p *Plan) error {
	rel, err := s.target(a.Path, true)
	if err != nil {
		return err
	}
	a.Path = rel
	p.Effect, p.Idempotent, p.Targets.Write = EffectWrite, true, []string{spell(rel)}
	return nil
}

// target resolves the path of something to be made or changed. It need not exist, and is not the workspace itself.
func (s *Set) target(arg string, last bool) (string, error) {
	rel, err := s.relative(arg)
	if err != nil {
		return "", err
	}
	rel, _, err = s.resolve(rel, last)
	if err == nil && rel == "." {
		err = refuse("path %s is the workspace itself", spell(arg))
	}
	return rel, err
}

func (a *writeFile) run(_ context.Context, s *Set, _ Plan, in Input) (Outcome, error) {
	s.write.Lock()
	defer s.write.Unlock()
	dir, base, made, err := s.makeParents(a.Path)
	out := Outcome{Touched: made}
	if err != nil {
		return out, err
	}
	defer dir.Close()
	old, err := stateOf(dir, base)
	if err != nil {
		return out, told(a.Path, err)
	}
	mode := old.mode.Perm()
	if a.Executable {
		mode |= 0o111
	}
	if err := replace(dir, base, in.ID, []byte(a.Content), mode); err != nil {
		return out, told(a.Path, err)
	}
	out.Touched, out.Observed = append(out.Touched, a.Path), EffectWrite
	verb := "wrote"
	if old.exists {
		verb = "replaced"
	}
	lines := bytes.Count([]byte(a.Content), []byte("\n"))
	out.Text = fmt.Sprintf("%s %s: %s, %s", verb, spell(a.Path), sizeOf(int64(len(a.Content))), plural(lines, "line", "lines"))
	return out, nil
}

// fileState is what stands where a file is to be written. mode is that of a new file if there is none.
type fileState struct {
	exists bool
	mode   fs.FileMode
}

// stateOf looks at base in dir and refuses what must not be replaced by a file.
func stateOf(dir *os.Root, base string) (fileState, error) {
	info, err := dir.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return fileState{mode: 0o644}, nil
	}
	if err == nil {
		err = regular(info)
	}
	if err != nil {
		return fileState{}, err
	}
	if info.Mode()&0o222 == 0 {
		return fileState{}, refuse("it is read-only (mode %04o); if it should change, chmod it with bash first", info.Mode().Perm())
	}
	return fileState{true, info.Mode()}, nil
}

// makeDirectory is the tool make_directory.
type makeDirectory struct {
	Path string `json:"path"`
}

func mkdirTool() *tool {
	return &tool{
		name:   "make_directory",
		about:  "Makes a directory and those above it that are missing. write_file makes directories by itself.",
		params: []param{{name: "path", kind: text, required: true, min: 1, about: "Directory to make."}},
		action: func() action { return &makeDirectory{} },
	}
}

func (a *makeDirectory) plan(s *Set, p *Plan) error {
	rel, err := s.target(a.Path, true)
	if err != nil {
		return err
	}
	a.Path = rel
	p.Effect, p.Idempotent, p.Targets.Write = EffectWrite, true, []string{spell(rel)}
	return nil
}

func (a *makeDirectory) run(_ context.Context, s *Set, _ Plan, _ Input) (Outcome, error) {
	s.write.Lock()
	defer s.write.Unlock()
	dir, _, made, err := s.makeParents(path.Join(a.Path, "x"))
	out := Outcome{Touched: made}
	if err != nil {
		return out, err
	}
	defer dir.Close()
	out.Text, out.Observed = "made "+spell(a.Path)+"/", EffectWrite
	if len(made) == 0 {
		out.Text, out.Observed = spell(a.Path)+"/ is there already", EffectRead
	}
	return out, nil
}
