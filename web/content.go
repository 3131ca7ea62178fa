package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"unicode/utf8"

	"tachograph/schemas/journal"
	"tachograph/web/api"
	"tachograph/web/story"
	"tachograph/web/traces"
)

// maxPiece is how many bytes of a text or a file one answer holds.
const maxPiece = 4 << 20

// piece is a part of some bytes as it is sent: text as text, all else as octets, never as anything
// that a browser would show by itself.
type piece struct {
	bytes       []byte
	total, next int64 // next is −1 at the end
	text        bool
}

// pieceOf cuts a piece of a whole. A piece of a text begins and ends between two characters, so it
// may begin up to three bytes after offset, which is then in the middle of one.
func pieceOf(whole []byte, offset, limit int64) piece {
	total := int64(len(whole))
	offset = min(offset, total)
	end := min(offset+limit, total)
	p := piece{total: total, next: -1, text: utf8.Valid(whole) && bytes.IndexByte(whole, 0) < 0}
	if p.text {
		for offset < total && !utf8.RuneStart(whole[offset]) {
			offset++
		}
		for end > offset && end < total && !utf8.RuneStart(whole[end]) {
			end--
		}
		if end == offset && end < total { // a limit of less than one character
			_, size := utf8.DecodeRune(whole[offset:])
			end += int64(size)
		}
	}
	p.bytes = whole[offset:max(end, offset)]
	if end < total {
		p.next = end
	}
	return p
}

func (p piece) visit(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if !p.text {
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", "attachment")
	}
	h.Set("X-Total-Bytes", strconv.FormatInt(p.total, 10))
	if p.next >= 0 {
		h.Set("X-Next-Offset", strconv.FormatInt(p.next, 10))
	}
	h.Set("Content-Length", strconv.Itoa(len(p.bytes)))
	w.WriteHeader(http.StatusOK)
	_, err := io.Copy(w, bytes.NewReader(p.bytes))
	return err
}

// VisitGetContentResponse implements api.GetContentResponseObject.
func (p piece) VisitGetContentResponse(w http.ResponseWriter) error { return p.visit(w) }

// VisitGetFileResponse implements api.GetFileResponseObject.
func (p piece) VisitGetFileResponse(w http.ResponseWriter) error { return p.visit(w) }

// stretch reads offset and limit of a request for bytes.
func stretch(offset, limit *int64) (from, most int64, err error) {
	if from, err = within("offset", offset, 0, 0, int64(journal.MaxFileSize)); err != nil {
		return 0, 0, err
	}
	most, err = within("limit", limit, 64<<10, 1, maxPiece)
	return from, most, err
}

// GetContent answers with bytes that an entry names.
func (s *Server) GetContent(ctx context.Context, request api.GetContentRequestObject) (api.GetContentResponseObject, error) {
	offset, limit, err := stretch(request.Params.Offset, request.Params.Limit)
	if err != nil {
		return nil, err
	}
	var ref journal.Ref
	if err := ref.UnmarshalText([]byte(request.Ref)); err != nil {
		return nil, fail(kindMalformed, "%v", err)
	}
	found, err := s.subject(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	text, err := s.part(ctx, found, ref, deref(request.Params.Part))
	if errors.Is(err, story.ErrNoPart) {
		return nil, fail(kindNotFound, "content %s: %v", ref.Short(), err)
	}
	if err != nil {
		return nil, err
	}
	return pieceOf([]byte(text), offset, limit), nil
}

// part is a part of what an entry of a run, or a span of a trace, names.
func (s *Server) part(ctx context.Context, of subject, ref journal.Ref, part string) (string, error) {
	if of.trace != nil {
		b, err := s.Traces.CutValue(ctx, of.trace.ID, ref)
		if err != nil {
			return "", err
		}
		return traces.Part(b, part)
	}
	b, err := s.Journal.Content(ctx, of.run.ID, ref)
	if err != nil {
		return "", err
	}
	return story.Part(b, part)
}
