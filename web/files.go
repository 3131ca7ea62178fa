package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"tachograph/replay"
	"tachograph/schemas/journal"
	"tachograph/web/api"
)

// Limits of what one answer lists.
const (
	maxListed  = 10_000 // entries of a directory, changes of a diff
	maxPatch   = 4 << 20
	maxChanged = 1_000 // changes of a comparison
)

// tree is the files of a run after an entry.
func (s *Server) tree(ctx context.Context, run replay.Run, seq int64) (replay.Tree, error) {
	st, err := s.stateAt(ctx, run, seq)
	if err != nil {
		return replay.Tree{}, err
	}
	return replay.TreeOf(s.Journal, run.ID, st.Root), nil
}

// pathOf is the path that a request names.
func pathOf(path, encoded *string) (string, error) {
	switch {
	case path != nil && encoded != nil:
		return "", fail(kindMalformed, "path and path_base64 go not together")
	case encoded != nil:
		b, err := base64.RawURLEncoding.DecodeString(*encoded)
		if err != nil {
			return "", fail(kindMalformed, "path_base64 is not URL-safe base64 without padding")
		}
		return strings.Trim(string(b), "/"), nil
	}
	return strings.Trim(deref(path), "/"), nil
}

func file(e journal.DirEntry, at string) api.File {
	f := api.File{Name: text(e.Name), Type: api.FileTypeFile, Mode: fmt.Sprintf("0%03o", e.Mode)}
	if whole := join(at, e.Name); !utf8.ValidString(whole) {
		f.PathBase64 = ptr(base64.RawURLEncoding.EncodeToString([]byte(whole)))
	}
	switch e.Type {
	case journal.TypeDir:
		f.Type = api.FileTypeDir
	case journal.TypeLink:
		f.Type, f.Target = api.FileTypeLink, ptr(text(e.Target))
	default:
		f.Size = ptr(e.Size)
	}
	if !e.Object.IsZero() {
		f.Object = ptr(e.Object.String())
	}
	return f
}

func text(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// ListFiles answers with a directory.
func (s *Server) ListFiles(ctx context.Context, request api.ListFilesRequestObject) (api.ListFilesResponseObject, error) {
	run, seq, path, err := s.place(ctx, request.Id, request.Params.Seq, request.Params.Path, request.Params.PathBase64)
	if err != nil {
		return nil, err
	}
	tree, err := s.tree(ctx, run, seq)
	if err != nil {
		return nil, err
	}
	e, err := tree.Find(ctx, path)
	if err != nil {
		return nil, err
	}
	dir := path[:max(strings.LastIndexByte(path, '/'), 0)]
	answer := api.FileList{Path: text(path), Seq: seq, Root: tree.Root.String(), Entry: file(e, dir), Entries: []api.File{}}
	if e.Type != journal.TypeDir {
		return api.ListFiles200JSONResponse(answer), nil
	}
	now, err := tree.List(ctx, e.Object)
	if err != nil {
		return nil, err
	}
	before, err := s.before(ctx, run, path)
	if err != nil {
		return nil, err
	}
	answer.Entries, answer.Removed = marked(path, before, now)
	if len(answer.Entries) > maxListed {
		answer.Entries, answer.Cut = answer.Entries[:maxListed], ptr(true)
	}
	return api.ListFiles200JSONResponse(answer), nil
}

func (s *Server) place(ctx context.Context, id string, seq *int64, path, encoded *string) (replay.Run, int64, string, error) {
	run, err := s.own(ctx, id)
	if err != nil {
		return run, 0, "", err
	}
	n, err := at(run, seq)
	if err != nil {
		return run, 0, "", err
	}
	p, err := pathOf(path, encoded)
	return run, n, p, err
}

// before is the directory as the run began with it; nothing if it was none.
func (s *Server) before(ctx context.Context, run replay.Run, path string) ([]journal.DirEntry, error) {
	started, err := replay.Started(ctx, s.Journal, run.ID)
	if err != nil {
		return nil, err
	}
	tree := replay.TreeOf(s.Journal, run.ID, started.Root)
	e, err := tree.Find(ctx, path)
	if isMissing(err) || err == nil && e.Type != journal.TypeDir {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return tree.List(ctx, e.Object)
}

// marked lists a directory, directories first, and says what differs from before.
func marked(path string, before, now []journal.DirEntry) (entries []api.File, removed []string) {
	was := make(map[string]journal.DirEntry, len(before))
	for _, e := range before {
		was[e.Name] = e
	}
	entries = make([]api.File, 0, len(now))
	for _, e := range now {
		f := file(e, path)
		if old, ok := was[e.Name]; !ok {
			f.Change = ptr(api.FileChangeAdded)
		} else {
			f.Change = change(old, e)
		}
		delete(was, e.Name)
		entries = append(entries, f)
	}
	for name := range was {
		removed = append(removed, text(name))
	}
	slices.Sort(removed)
	slices.SortStableFunc(entries, func(a, b api.File) int { return cmp.Compare(rank(a), rank(b)) })
	return entries, removed
}

func rank(f api.File) int {
	if f.Type == api.FileTypeDir {
		return 0
	}
	return 1
}

func change(old, now journal.DirEntry) *api.FileChange {
	switch {
	case old.Type != now.Type && !(old.Type.IsFile() && now.Type.IsFile()):
		return ptr(api.FileChangeType)
	case old.Object != now.Object || old.Target != now.Target:
		return ptr(api.FileChangeModified)
	case old.Mode != now.Mode:
		return ptr(api.FileChangeMode)
	}
	return nil
}

// GetFile answers with a piece of a file.
func (s *Server) GetFile(ctx context.Context, request api.GetFileRequestObject) (api.GetFileResponseObject, error) {
	p := request.Params
	offset, limit, err := stretch(p.Offset, p.Limit)
	if err != nil {
		return nil, err
	}
	run, seq, path, err := s.place(ctx, request.Id, p.Seq, p.Path, p.PathBase64)
	if err != nil {
		return nil, err
	}
	tree, err := s.tree(ctx, run, seq)
	if err != nil {
		return nil, err
	}
	e, err := tree.Find(ctx, path)
	if err != nil {
		return nil, err
	}
	if !e.Type.IsFile() {
		return nil, fail(kindMalformed, "%.200q is a %s: /files describes it", text(path), e.Type)
	}
	// Whether a file is text is decided by its first piece and the one that is asked for.
	head, err := tree.Read(ctx, e, 0, 64<<10)
	if err != nil {
		return nil, notKept(err, path)
	}
	b, err := tree.Read(ctx, e, offset, limit+utf8.UTFMax)
	if err != nil {
		return nil, notKept(err, path)
	}
	return filePiece(head, b, e.Size, min(offset, e.Size), limit), nil
}

func notKept(err error, path string) error {
	if isMissing(err) {
		return fail(kindNotFound, "the bytes of %.200q were not kept: its name looks like that of a secret; `capture: all` in the spec keeps such files", text(path))
	}
	return err
}

// filePiece is pieceOf for a file of which only the head and some bytes from offset on are read.
func filePiece(head, b []byte, size, offset, limit int64) piece {
	p := pieceOf(b, 0, limit)
	first := pieceOf(trimRune(head), 0, int64(len(head)))
	asText := pieceOf(trimRune(skipRune(b)), 0, limit)
	if first.text && asText.text {
		skipped := int64(len(b) - len(skipRune(b)))
		p = asText
		p.next = offset + skipped + int64(len(p.bytes))
	} else {
		p.text = false
		p.bytes = b[:min(limit, int64(len(b)))]
		p.next = offset + int64(len(p.bytes))
	}
	p.total = size
	if p.next >= size {
		p.next = -1
	}
	return p
}

// trimRune takes an incomplete character off the end, skipRune one off the beginning.
func trimRune(b []byte) []byte {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if tail := b[len(b)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
}

func skipRune(b []byte) []byte {
	for i := 0; i < utf8.UTFMax-1 && len(b) > 0 && !utf8.RuneStart(b[0]); i++ {
		b = b[1:]
	}
	return b
}

func changeOf(c replay.Change) api.Change {
	told := api.Change{Path: text(c.Path), Kind: api.ChangeKind(c.Kind), From: some(text(c.From))}
	if c.Old.Type != 0 {
		told.Old = ptr(file(c.Old, ""))
	}
	if c.New.Type != 0 {
		told.New = ptr(file(c.New, ""))
	}
	return told
}

// patch is a unified diff, cut at maxPatch.
type patch struct{ text []byte }

// VisitGetDiffResponse implements api.GetDiffResponseObject.
func (p patch) VisitGetDiffResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if bytes.Contains(p.text[max(len(p.text)-200, 0):], []byte("# cut here: ")) {
		w.Header().Set("X-Cut", "true")
	}
	w.WriteHeader(http.StatusOK)
	_, err := io.Copy(w, bytes.NewReader(bytes.ToValidUTF8(p.text, []byte("\uFFFD"))))
	return err
}

// GetDiff answers with what differs between two moments.
func (s *Server) GetDiff(ctx context.Context, request api.GetDiffRequestObject) (api.GetDiffResponseObject, error) {
	p := request.Params
	kind, err := choose(ctx, typeJSON, typeText)
	if err != nil {
		return nil, err
	}
	a, b, err := s.moments(ctx, request.Id, p)
	if err != nil {
		return nil, err
	}
	changes, err := replay.Changes(ctx, a, b)
	if err != nil {
		return nil, err
	}
	if under := strings.Trim(deref(p.Path), "/"); under != "" {
		changes = slices.DeleteFunc(changes, func(c replay.Change) bool {
			return !isUnder(c.Path, under) && !(c.From != "" && isUnder(c.From, under))
		})
	}
	if kind == typeText {
		var out bytes.Buffer
		if err := replay.Patch(ctx, a, b, changes, &out, maxPatch); err != nil {
			return nil, err
		}
		return patch{out.Bytes()}, nil
	}
	answer := api.Diff{Changes: []api.Change{}, Total: int64(len(changes)), FromRoot: a.Root.String(), ToRoot: b.Root.String()}
	for _, c := range changes[:min(len(changes), maxListed)] {
		answer.Changes = append(answer.Changes, changeOf(c))
	}
	return api.GetDiff200JSONResponse{Body: answer}, nil
}

func isUnder(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func (s *Server) moments(ctx context.Context, id string, p api.GetDiffParams) (a, b replay.Tree, err error) {
	run, err := s.own(ctx, id)
	if err != nil {
		return a, b, err
	}
	from, err := at(run, ptr(deref(p.From)))
	if err != nil {
		return a, b, err
	}
	if a, err = s.tree(ctx, run, from); err != nil {
		return a, b, err
	}
	if p.With != nil {
		if run, err = s.own(ctx, *p.With); err != nil {
			return a, b, err
		}
	}
	to, err := at(run, p.To)
	if err != nil {
		return a, b, err
	}
	b, err = s.tree(ctx, run, to)
	return a, b, err
}
