package tools

import (
	"context"
	"fmt"
	"io"
)

// readFile is the tool read_file.
type readFile struct {
	Path string `json:"path"`
	pager
}

func readTool() *tool {
	return &tool{
		name: "read_file",
		about: "Shows a text file, or part of it, with line numbers. Long files are shown in part; the last line says how " +
			"to see the rest. Use search_files to find where to look in a large file.",
		params: append([]param{{name: "path", kind: text, required: true, min: 1, about: "File to read."}}, pagerParams()...),
		action: func() action { return &readFile{} },
	}
}

func (a *readFile) plan(s *Set, p *Plan) error {
	if err := a.check(); err != nil {
		return err
	}
	return s.planRead(p, &a.Path)
}

func (a *readFile) run(ctx context.Context, s *Set, _ Plan, _ Input) (Outcome, error) {
	return s.bounded(ctx, func(ctx context.Context) (Outcome, error) {
		f, info, err := s.openFile(a.Path)
		if err != nil {
			return Outcome{}, err
		}
		defer f.Close()
		head := make([]byte, min(8000, info.Size()))
		n, err := f.ReadAt(head, 0)
		if err != nil && err != io.EOF {
			return Outcome{}, told(a.Path, err)
		}
		if isBinary(head[:n]) && a.ByteOffset == nil {
			return Outcome{}, refuse("%s is a binary file of %s; read_file with byte_offset shows its bytes", spell(a.Path), sizeOf(info.Size()))
		}
		text, err := a.show(ctx, f, info.Size(), s.env.Limits, "read_file")
		if err != nil {
			return Outcome{}, told(a.Path, err)
		}
		return Outcome{Text: text, Observed: EffectRead}, nil
	})
}

// whole reads the regular file at a resolved path, up to the limit.
func (s *Set) whole(rel string) ([]byte, error) {
	f, info, err := s.openFile(rel)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	limit := s.env.Limits.File
	if info.Size() > limit {
		return nil, refuse("%s has %s; at most %s can be changed in one piece, use bash", spell(rel), sizeOf(info.Size()), sizeOf(limit))
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", spell(rel), err)
	}
	return content, nil
}
