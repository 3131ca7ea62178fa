package owner

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"tachograph/schemas/journal"
)

// reader answers the requests that look.
type reader struct{ journal Journal }

func (r reader) runs(c echo.Context) error {
	runs, err := r.journal.Runs(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, runs)
}

func (r reader) run(c echo.Context) error {
	id, err := runParam(c)
	if err != nil {
		return err
	}
	run, err := r.journal.Run(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, run)
}

// entries streams lines; with follow it stays until the run or the server ends.
func (r reader) entries(c echo.Context, stopped context.Context) error {
	run, err := runParam(c)
	if err != nil {
		return err
	}
	from, err := intQuery(c, "from", 0)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	defer context.AfterFunc(stopped, cancel)()
	lines := r.journal.Entries
	if c.QueryParam("follow") != "" {
		lines = r.journal.Follow
		c.Response().Header().Set(echo.HeaderContentType, "application/x-ndjson")
		c.Response().WriteHeader(http.StatusOK)
		c.Response().Flush()
	}
	for line, err := range lines(ctx, run, from) {
		if err != nil {
			return err
		}
		c.Response().Header().Set(echo.HeaderContentType, "application/x-ndjson")
		if _, err := c.Response().Write(append(line[:len(line):len(line)], '\n')); err != nil {
			return err
		}
		if c.QueryParam("follow") != "" {
			c.Response().Flush()
		}
	}
	return nil
}

func (r reader) heads(c echo.Context) error {
	run, err := runParam(c)
	if err != nil {
		return err
	}
	heads, err := r.journal.Heads(c.Request().Context(), run)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, heads)
}

func (r reader) salt(c echo.Context) error {
	run, err := runParam(c)
	if err != nil {
		return err
	}
	salt, err := r.journal.Salt(c.Request().Context(), run)
	if err != nil {
		return err
	}
	return octets(c, salt[:])
}

func (r reader) content(c echo.Context) error {
	var ref journal.Ref
	return named(c, ref.UnmarshalText, func(ctx context.Context, run journal.RunID) ([]byte, error) {
		return r.journal.Content(ctx, run, ref)
	})
}

func (r reader) object(c echo.Context) error {
	var name journal.Object
	return named(c, name.UnmarshalText, func(ctx context.Context, run journal.RunID) ([]byte, error) {
		return r.journal.Object(ctx, run, name)
	})
}

func (r reader) chunk(c echo.Context) error {
	var name journal.Hash
	return named(c, name.UnmarshalText, func(ctx context.Context, run journal.RunID) ([]byte, error) {
		texts, err := r.journal.Chunks(ctx, run, []journal.Hash{name})
		if err != nil {
			return nil, err
		}
		return texts[0], nil
	})
}

// named answers with bytes that a hash names.
func named(c echo.Context, parse func([]byte) error, read func(context.Context, journal.RunID) ([]byte, error)) error {
	run, err := runParam(c)
	if err != nil {
		return err
	}
	if err := parse([]byte(c.Param("name"))); err != nil {
		return echo.NewHTTPError(http.StatusBadRequest, err.Error())
	}
	b, err := read(c.Request().Context(), run)
	if err != nil {
		return err
	}
	return octets(c, b)
}

func (r reader) checkpoint(c echo.Context) error {
	run, err := runParam(c)
	if err != nil {
		return err
	}
	seq, err := intQuery(c, "seq", journal.MaxInt)
	if err != nil {
		return err
	}
	cp, err := r.journal.Checkpoint(c.Request().Context(), run, seq)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, cp)
}

func octets(c echo.Context, b []byte) error {
	return c.Blob(http.StatusOK, echo.MIMEOctetStream, b)
}

// live streams what happens between entries until the client or the server ends.
func (s *Server) live(c echo.Context) error {
	only := c.QueryParam("run")
	events, leave := s.feed.subscribe()
	defer leave()
	c.Response().Header().Set(echo.HeaderContentType, "application/x-ndjson")
	c.Response().WriteHeader(http.StatusOK)
	c.Response().Flush()
	enc := json.NewEncoder(c.Response())
	for {
		select {
		case l := <-events:
			if only != "" && l.Run.String() != only {
				continue
			}
			if err := enc.Encode(l); err != nil {
				return err
			}
			c.Response().Flush()
		case <-c.Request().Context().Done():
			return nil
		case <-s.stopped.Done():
			return nil
		}
	}
}
