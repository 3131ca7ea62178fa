// Package web answers people and programs over HTTP: agents are started and steered under /v1/agents,
// runs are looked at under /api, and everything else is the page (web/ui). The contract is
// web/api/openapi.yaml.
//
// It is handed what it shows and whom it asks: a journal to read, an operator to steer, spans, the
// store of other people's traces. It holds no SQL and folds no state; looking at a run never runs anything, and what is shown
// is what is stored.
//
// It listens on loopback alone, without a token, so every request is suspect: any web page can make a
// browser send one here. guard.go says which are refused.
//
// Read first: guard.go, problem.go (every error's one way out), runs.go, then the file named for what
// is asked. web/story tells the transcript, web/owner is the same for other commands of this user.
package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/mod/sumdb/note"

	"tachograph/collector/store"
	"tachograph/runner"
	"tachograph/schemas/access"
	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
	"tachograph/web/api"
	"tachograph/web/owner"
	"tachograph/web/requests"
)

// Operator steers runs: what owner.Operator does, as far as it is asked for here.
type Operator interface {
	Start(ctx context.Context, spec runner.Spec) (journal.RunID, error)
	Fork(ctx context.Context, run journal.RunID, seq int64, change runner.Change) (journal.RunID, error)
	Pause(ctx context.Context, run journal.RunID, by string) error
	Resume(ctx context.Context, run journal.RunID, by string) error
	Stop(ctx context.Context, run journal.RunID, by string, now bool) error
	Approve(ctx context.Context, run journal.RunID, call int64, by, reason string) error
	Deny(ctx context.Context, run journal.RunID, call int64, by, reason string) error
}

// Spans reads the spans of our own runs: spans.View does.
type Spans interface {
	// Spans shows them batch by batch: those that ended, and those that began and were not shown yet; of the last batch all that
	// are open. What it shows is see's to keep.
	Spans(ctx context.Context, run journal.RunID, see func(tables.SpanBatch) error) error
	// After is what ended since a reader had the spans of so many entries, and all that are open now; known is false if that is
	// too long ago, and all are to be read again.
	After(ctx context.Context, run journal.RunID, entries int64) (news tables.SpanBatch, known bool, err error)
	// Span is one with all its attributes and events, or what is known of one that has not ended. Both are nil if there is none.
	Span(ctx context.Context, run journal.RunID, span uint64) (ended *tables.Span, open *tables.OpenSpan, err error)
}

// Part is something that has to be ready.
type Part struct {
	Name  string
	Check func(context.Context) error
}

// Config is what a Server is wired with.
type Config struct {
	Gate     *access.Gate // who may ask; nil: whoever reaches this machine's own addresses
	Journal  owner.Journal
	Operator Operator
	Spans    Spans        // of our own runs
	Traces   *store.Store // of other people's traces; nil: no ClickHouse is connected
	// Shipped says how many entries of a run ClickHouse has. May be nil.
	Shipped  func(journal.RunID) (entries int64, known bool)
	Keys     note.Verifiers // that are trusted; nil: none
	Requests *requests.Log  // of idempotency keys
	Assets   fs.FS          // the page: index.html and what it needs; nil: there is none
	Parts    []Part         // for /readyz
	Project  string
	Version  string
	Person   string // who `by` is, if neither a token nor a request says it
	Clock    func() time.Time
	Log      *slog.Logger
}

// Server answers. Close it to end the streams that stay open.
type Server struct {
	Config
	echo    *echo.Echo
	pieces  *feed
	list    *listCache
	checks  *verifications
	stopped context.Context
	stop    context.CancelFunc
}

// New makes a Server.
func New(c Config) (*Server, error) {
	if c.Journal == nil || c.Operator == nil || c.Spans == nil || c.Requests == nil {
		return nil, errors.New("make web server: a journal, an operator, spans and requests are needed")
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Person == "" {
		c.Person = "a person at the web interface"
	}
	s := &Server{Config: c, pieces: newFeed(), checks: newVerifications()}
	s.list = newListCache(c.Journal.Runs, c.Clock)
	s.stopped, s.stop = context.WithCancel(context.Background())
	page, err := newAssets(c.Assets)
	if err != nil {
		return nil, fmt.Errorf("make web server: %w", err)
	}
	e := echo.New()
	e.HideBanner, e.HidePort, e.HTTPErrorHandler, e.JSONSerializer = true, true, s.writeProblem, strictJSON{}
	e.Pre(s.guard)
	e.Use(bounded, negotiated)
	api.RegisterHandlers(e, api.NewStrictHandler(s, nil))
	e.GET("/*", page.serve)
	e.HEAD("/*", page.serve)
	s.echo = e
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// Watch hands what happens between entries to whoever listens. It never blocks.
func (s *Server) Watch(l runner.Live) { s.pieces.publish(l) }

// Close ends the streams. Requests that only read go on to their end.
func (s *Server) Close() error {
	s.stop()
	return nil
}
