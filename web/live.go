package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"tachograph/collector/store"
	"tachograph/replay"
	"tachograph/runner"
	"tachograph/schemas/journal"
	"tachograph/web/api"
	"tachograph/web/story"
)

// How often a live stream looks at the list, and says that it is alive.
const (
	lookEvery = 400 * time.Millisecond
	beatEvery = 15 * time.Second
	lookBack  = 2 * time.Second
)

// Live answers with what changes.
func (s *Server) Live(ctx context.Context, request api.LiveRequestObject) (api.LiveResponseObject, error) {
	after := deref(request.Params.After)
	if last := request.Params.LastEventID; last != nil && *last != "" {
		after = *last // a connection that was lost goes on where it was
	}
	if request.Params.Run == nil {
		since := s.Clock()
		if after != "" {
			var err error
			if since, err = time.Parse(time.RFC3339Nano, after); err != nil {
				return nil, fail(kindMalformed, "after %.40q is no time: give the as_of of the list", after)
			}
		}
		// An entry has its time before it is durable and seen: look back a little further. What is told
		// twice changes nothing.
		return liveList{s, ctx, since.Add(-lookBack)}, nil
	}
	run, err := s.own(ctx, *request.Params.Run)
	if err != nil {
		return nil, err
	}
	from := run.Entries
	if after != "" {
		last, err := strconv.ParseInt(after, 10, 64)
		if err != nil || last < -1 || last > journal.MaxInt {
			return nil, fail(kindMalformed, "after %.40q is no entry: give the seq of the last one that is known, −1 for none", after)
		}
		from = last + 1
	}
	return liveRun{s, ctx, run, from}, nil
}

// stream writes server-sent events. Its first error ends it.
type stream struct {
	w   http.ResponseWriter
	out *http.ResponseController
	err error
}

func openStream(w http.ResponseWriter) *stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	return &stream{w: w, out: http.NewResponseController(w)}
}

// send writes one event. JSON has no line feeds, so one data line is enough.
func (st *stream) send(event, id string, data any) {
	if st.err != nil {
		return
	}
	body, err := json.Marshal(data)
	if err != nil {
		st.err = err
		return
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	st.write(fmt.Sprintf("%sevent: %s\ndata: %s\n\n", id, event, body))
}

func (st *stream) beat() { st.write(": alive\n\n") }

func (st *stream) write(text string) {
	if st.err != nil {
		return
	}
	if _, st.err = st.w.Write([]byte(text)); st.err == nil {
		st.err = st.out.Flush()
	}
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// liveList tells which runs are new or changed.
type liveList struct {
	s     *Server
	ctx   context.Context
	since time.Time
}

// seen is what a stream has said of a run.
type seen struct {
	entries int64
	shipped int64
}

// VisitLiveResponse implements api.LiveResponseObject.
func (l liveList) VisitLiveResponse(w http.ResponseWriter) error {
	st := openStream(w)
	st.send("hello", "", api.LiveHello{AsOf: moment(l.since.Add(lookBack))})
	look, beat := time.NewTicker(lookEvery), time.NewTicker(beatEvery)
	defer look.Stop()
	defer beat.Stop()
	known := map[string]seen{}
	traces := l.since
	for first := true; st.err == nil; first = false {
		runs, err := l.s.list.get(l.ctx)
		if err != nil {
			return err
		}
		l.tell(st, runs, known, first)
		if traces, err = l.tellTraces(st, traces, known); err != nil {
			return err
		}
		select {
		case <-look.C:
		case <-beat.C:
			st.beat()
		case <-l.ctx.Done():
			return nil
		case <-l.s.stopped.Done():
			return nil
		}
	}
	return nil // the client left
}

// tell sends the runs that changed since what is known, at first those since the given time. The
// oldest change goes first, so that the id of the last event is a time up to which all is told.
func (l liveList) tell(st *stream, runs []replay.Run, known map[string]seen, first bool) {
	for _, r := range sortedByLast(runs) {
		sum := l.s.summary(r)
		now := seen{r.Entries, deref(sum.Shipped)}
		was, ok := known[sum.Id]
		known[sum.Id] = now
		if ok && was == now || !ok && first && sum.LastAt.Before(l.since) {
			continue
		}
		st.send("run", moment(sum.LastAt), sum)
	}
}

// tellTraces sends other people's traces that were heard of since, newest hundred at most.
func (l liveList) tellTraces(st *stream, since time.Time, known map[string]seen) (time.Time, error) {
	if l.s.Traces == nil {
		return since, nil
	}
	found, err := l.s.Traces.Traces(l.ctx, l.s.traceFilter(), store.Page{Limit: 100})
	if err != nil {
		return since, err
	}
	newest := since
	for _, t := range found {
		sum := l.s.traceSummary(t)
		now := seen{entries: t.Spans}
		if was, ok := known[sum.Id]; t.Received.Before(since) || ok && was == now {
			continue
		}
		known[sum.Id] = now
		st.send("run", "", sum)
		if t.Received.After(newest) {
			newest = t.Received
		}
	}
	return newest, nil
}

// liveRun tells a run, entry by entry.
type liveRun struct {
	s    *Server
	ctx  context.Context
	run  replay.Run
	from int64
}

// VisitLiveResponse implements api.LiveResponseObject.
func (l liveRun) VisitLiveResponse(w http.ResponseWriter) error {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	defer context.AfterFunc(l.s.stopped, cancel)()
	pieces, leave := l.s.pieces.subscribe(l.run.ID)
	defer leave()
	st := openStream(w)
	st.send("hello", "", api.LiveHello{AsOf: strconv.FormatInt(l.from-1, 10)})
	lines := follow(ctx, l.s, l.run.ID, l.from)
	headers := l.headers(ctx)
	teller := story.New(l.s.Journal, l.run.ID)
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	said := seen{entries: -1}
	for st.err == nil {
		select {
		case line, more := <-lines:
			if !more {
				return l.end(ctx, st, said)
			}
			if line.err != nil {
				return line.err
			}
			if err := l.entry(ctx, st, teller, line.text); err != nil {
				return err
			}
		case p := <-pieces:
			st.send("piece", "", livePiece(p))
		case runs := <-headers:
			said = l.say(st, runs, said)
		case <-beat.C:
			st.beat()
		case <-ctx.Done():
			return nil
		}
	}
	return nil // the client left
}

func livePiece(p runner.Live) api.LivePiece {
	return api.LivePiece{Run: p.Run.String(), Agent: p.Agent, Kind: api.LivePieceKind(p.Kind), Text: story.Cut(p.Text, maxPieceText)}
}

// maxPieceText bounds a piece; what is cut is in the entry that follows.
const maxPieceText = 16 << 10

func (l liveRun) entry(ctx context.Context, st *stream, teller *story.Teller, line []byte) error {
	e, items, err := teller.Tell(ctx, line)
	if err != nil {
		return err
	}
	told := api.LiveEntry{Run: l.run.ID.String(), Seq: e.Seq, Time: e.Time, Agent: e.Agent, Kind: string(e.Kind), Items: []api.Item{}}
	for _, item := range items {
		told.Items = append(told.Items, *item)
	}
	st.send("entry", strconv.FormatInt(e.Seq, 10), told)
	return nil
}

// headers reads the list again and again, in a goroutine that ends with ctx: it may hang on a ClickHouse
// that is busy or starts again, and what the run itself tells must not wait for that. A list that cannot
// be read is asked for again.
func (l liveRun) headers(ctx context.Context) <-chan []replay.Run {
	lists := make(chan []replay.Run)
	go func() {
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		for {
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
			runs, err := l.s.list.get(ctx)
			if err != nil {
				continue
			}
			select {
			case lists <- runs:
			case <-ctx.Done():
				return
			}
		}
	}()
	return lists
}

func (l liveRun) say(st *stream, runs []replay.Run, said seen) seen {
	for _, r := range runs {
		if r.ID != l.run.ID {
			continue
		}
		sum := l.s.summary(r)
		if now := (seen{r.Entries, deref(sum.Shipped)}); now != said {
			st.send("run", "", sum)
			return now
		}
	}
	return said
}

// lastWord bounds the time that the end of a stream waits for the list: a client that hears the end asks
// for the run itself.
const lastWord = 2 * time.Second

// end tells how the run stands at its end, from the store and not from what is remembered, if that can
// be read soon.
func (l liveRun) end(ctx context.Context, st *stream, said seen) error {
	if ctx.Err() != nil {
		return nil
	}
	soon, cancel := context.WithTimeout(ctx, lastWord)
	defer cancel()
	if runs, err := l.s.Journal.Runs(soon); err == nil {
		l.say(st, runs, said)
	}
	st.send("end", "", struct{}{})
	return nil
}

type followed struct {
	text []byte
	err  error
}

// follow reads a journal in a goroutine, which ends with ctx or with the run; then the channel is
// closed.
func follow(ctx context.Context, s *Server, run journal.RunID, from int64) <-chan followed {
	lines := make(chan followed)
	go func() {
		defer close(lines)
		for line, err := range s.Journal.Follow(ctx, run, from) {
			select {
			case lines <- followed{line, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// sortedByLast orders runs by the time of their newest entry, oldest first.
func sortedByLast(runs []replay.Run) []replay.Run {
	return slices.SortedFunc(slices.Values(runs), func(a, b replay.Run) int { return stamp(a.Last).Compare(stamp(b.Last)) })
}
