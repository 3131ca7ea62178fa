package web

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"tachograph/schemas/columns"
	"tachograph/schemas/journal"
	"tachograph/web/api"
)

// ListEntries answers with the journal.
func (s *Server) ListEntries(ctx context.Context, request api.ListEntriesRequestObject) (api.ListEntriesResponseObject, error) {
	kind, err := choose(ctx, typeJSON, typeLines, typeArrow)
	if err != nil {
		return nil, err
	}
	from, err := within("from", request.Params.From, 0, 0, int64(journal.MaxInt))
	if err != nil {
		return nil, err
	}
	limit, err := within("limit", request.Params.Limit, 1000, 1, 100_000)
	if err != nil {
		return nil, err
	}
	run, err := s.own(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	stretch := entries{s: s, ctx: ctx, run: run.ID, from: from, to: min(from+int64(limit), run.Entries), total: run.Entries}
	switch kind {
	case typeLines:
		return entryLines{stretch}, nil
	case typeArrow:
		return entryColumns{stretch}, nil
	}
	answer := api.EntryList{Entries: []api.Entry{}, Total: run.Entries, Next: stretch.next()}
	err = stretch.each(func(line []byte) error {
		e, err := journal.Decode(line)
		if err != nil {
			return err
		}
		told := api.Entry{Seq: e.Seq, Epoch: e.Epoch, Time: e.Time, Agent: e.Agent, Kind: string(e.Kind), Hash: journal.HashEntry(line).String()}
		if err := json.Unmarshal(e.Body, &told.Body); err != nil {
			return err
		}
		answer.Entries = append(answer.Entries, told)
		return nil
	})
	return api.ListEntries200JSONResponse{Body: answer, Headers: api.ListEntries200ResponseHeaders{XNextFrom: answer.Next}}, err
}

// entries is a stretch of a journal: those from seq from on, before the seq to.
type entries struct {
	s               *Server
	ctx             context.Context
	run             journal.RunID
	from, to, total int64
}

func (e entries) next() *int64 {
	if e.to >= e.total {
		return nil
	}
	return &e.to
}

func (e entries) each(see func(line []byte) error) error {
	at := e.from
	if at >= e.to {
		return nil
	}
	for line, err := range e.s.Journal.Entries(e.ctx, e.run, e.from) {
		if err != nil {
			return err
		}
		if err := see(line); err != nil {
			return err
		}
		if at++; at >= e.to {
			return nil
		}
	}
	return nil
}

func (e entries) begin(w http.ResponseWriter, kind string) *bufio.Writer {
	w.Header().Set("Content-Type", kind)
	if next := e.next(); next != nil {
		w.Header().Set("X-Next-From", strconv.FormatInt(*next, 10))
	}
	w.WriteHeader(http.StatusOK)
	return bufio.NewWriterSize(w, 64<<10)
}

// entryLines sends the lines as they are stored.
type entryLines struct{ entries }

// VisitListEntriesResponse implements api.ListEntriesResponseObject.
func (e entryLines) VisitListEntriesResponse(w http.ResponseWriter) error {
	out := e.begin(w, typeLines)
	err := e.each(func(line []byte) error {
		if _, err := out.Write(line); err != nil {
			return err
		}
		return out.WriteByte('\n')
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// entryColumns sends them as an Arrow stream.
type entryColumns struct{ entries }

// VisitListEntriesResponse implements api.ListEntriesResponseObject.
func (e entryColumns) VisitListEntriesResponse(w http.ResponseWriter) error {
	out := e.begin(w, typeArrow)
	stream := columns.NewEntries(out)
	if err := e.each(stream.Write); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	return out.Flush()
}
