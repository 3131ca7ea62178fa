package owner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"tachograph/replay"
	"tachograph/runner"
	"tachograph/schemas/journal"
)

// Operator steers runs. runner.Runner is one, and Client is one at a distance.
type Operator interface {
	Start(ctx context.Context, spec runner.Spec) (journal.RunID, error)
	Fork(ctx context.Context, run journal.RunID, seq int64, change runner.Change) (journal.RunID, error)
	Pause(ctx context.Context, run journal.RunID, by string) error
	Resume(ctx context.Context, run journal.RunID, by string) error
	Stop(ctx context.Context, run journal.RunID, by string, now bool) error
	Approve(ctx context.Context, run journal.RunID, call int64, by, reason string) error
	Deny(ctx context.Context, run journal.RunID, call int64, by, reason string) error
	Remove(ctx context.Context, family journal.RunID) error
	// Ship returns when the run's journal, as it is now, is in ClickHouse, and says how much of how much is.
	Ship(ctx context.Context, run journal.RunID) (shipped, total int64, err error)
}

// Journal is what the owner lets others read: a Source that can also wait for new entries.
type Journal interface {
	replay.Source
	// Follow is Entries that goes on with new ones until ctx ends or the run has ended.
	Follow(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error]
}

// File is the content of server.json.
type File struct {
	PID     int    `json:"pid"`
	Started string `json:"started"`
	Version string `json:"version"`
	Socket  string `json:"socket"`
}

const (
	fileName   = "server.json"
	socketName = "owner.sock"
)

// Server is the owner's side.
type Server struct {
	http    *http.Server
	data    string
	ended   chan struct{}
	feed    *feed
	stop    context.CancelFunc
	stopped context.Context
}

// Serve begins to answer in the data directory, which the caller owns (it holds the store's lock).
// Each request is a span of tracer.
func Serve(data, version string, j Journal, o Operator, tracer trace.Tracer) (*Server, error) {
	listener, err := listen(data)
	if err != nil {
		return nil, fmt.Errorf("listen for other commands: %w", err)
	}
	s := &Server{data: data, ended: make(chan struct{}), feed: newFeed()}
	s.stopped, s.stop = context.WithCancel(context.Background())
	e := echo.New()
	e.HideBanner, e.HidePort, e.HTTPErrorHandler = true, true, writeProblem
	e.Use(spans(tracer))
	s.routes(e, reader{j}, operator{o})
	s.http = &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second}
	if err := writeFile(data, version); err != nil {
		listener.Close()
		return nil, err
	}
	go func() {
		defer close(s.ended)
		s.http.Serve(listener)
	}()
	return s, nil
}

// spans makes a span of each request, named by its route: ids would make a name of their own of each.
func spans(tracer trace.Tracer) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			ctx, span := tracer.Start(r.Context(), r.Method+" "+c.Path(), trace.WithSpanKind(trace.SpanKindServer))
			defer span.End()
			c.SetRequest(r.WithContext(ctx))
			err := next(c)
			if err != nil {
				span.RecordError(err)
				span.SetStatus(codes.Error, "")
			}
			return err
		}
	}
}

// Watch hands what happens between entries to whoever listens. It never blocks.
func (s *Server) Watch(l runner.Live) { s.feed.publish(l) }

// Close stops answering, ends the requests that follow a run, and removes server.json.
func (s *Server) Close() error {
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.ended
	return errors.Join(err, removeFile(filepath.Join(s.data, fileName)), removeFile(filepath.Join(s.data, socketName)))
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// listen makes the socket. A path too long for a socket address is reached through the directory's
// descriptor, which has a short name under /proc.
func listen(data string) (net.Listener, error) {
	if err := removeFile(filepath.Join(data, socketName)); err != nil {
		return nil, err
	}
	address, release, err := socketAddress(data)
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := net.Listen("unix", address)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return l, os.Chmod(filepath.Join(data, socketName), 0o600)
}

func socketAddress(data string) (string, func(), error) {
	path := filepath.Join(data, socketName)
	if len(path) < 100 {
		return path, func() {}, nil
	}
	dir, err := os.Open(data)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName), func() { dir.Close() }, nil
}

func writeFile(data, version string) error {
	text, err := json.Marshal(File{os.Getpid(), time.Now().UTC().Format(time.RFC3339), version, socketName})
	if err != nil {
		return err
	}
	temporary := filepath.Join(data, fileName+".new")
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", fileName, err)
	}
	return os.Rename(temporary, filepath.Join(data, fileName))
}

func (s *Server) routes(e *echo.Echo, r reader, o operator) {
	e.GET("/owner/alive", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	e.GET("/owner/runs", r.runs)
	e.GET("/owner/runs/:run", r.run)
	e.GET("/owner/runs/:run/entries", func(c echo.Context) error { return r.entries(c, s.stopped) })
	e.GET("/owner/runs/:run/heads", r.heads)
	e.GET("/owner/runs/:run/salt", r.salt)
	e.GET("/owner/runs/:run/content/:name", r.content)
	e.GET("/owner/runs/:run/objects/:name", r.object)
	e.GET("/owner/runs/:run/checkpoint", r.checkpoint)
	e.GET("/owner/runs/:run/chunks/:name", r.chunk)
	e.GET("/owner/live", s.live)
	e.POST("/owner/runs", o.start)
	e.POST("/owner/runs/:run/fork", o.fork)
	e.POST("/owner/runs/:run/approvals/:call", o.approval)
	e.POST("/owner/runs/:run/ship", o.ship)
	e.POST("/owner/runs/:run/:verb", o.steer)
	e.DELETE("/owner/families/:run", o.remove)
}

func runParam(c echo.Context) (journal.RunID, error) {
	id, err := journal.ParseRunID(c.Param("run"))
	if err != nil {
		return id, echo.NewHTTPError(http.StatusBadRequest, err.Error())
	}
	return id, nil
}

func intQuery(c echo.Context, name string, absent int64) (int64, error) {
	text := c.QueryParam(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, echo.NewHTTPError(http.StatusBadRequest, fmt.Sprintf("%s=%.40q is not a number", name, text))
	}
	return n, nil
}
