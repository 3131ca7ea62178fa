package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"tachograph/collector/store"
	"tachograph/replay"
	"tachograph/runner"
	"tachograph/schemas/access"
	"tachograph/web/api"
)

// kind is an error's word on the wire, and its status.
type kind struct {
	word   string
	status int
}

// The kinds of problems.
var (
	kindInvalid       = kind{"invalid", http.StatusUnprocessableEntity}
	kindMalformed     = kind{"invalid", http.StatusBadRequest}
	kindNotFound      = kind{"not_found", http.StatusNotFound}
	kindErased        = kind{"erased", http.StatusGone}
	kindNotLive       = kind{"not_live", http.StatusConflict}
	kindConflict      = kind{"conflict", http.StatusConflict}
	kindNotBuilt      = kind{"not_built", http.StatusUnprocessableEntity}
	kindKeyReused     = kind{"key_reused", http.StatusUnprocessableEntity}
	kindNoJournal     = kind{"no_journal", http.StatusConflict}
	kindForeign       = kind{"foreign", http.StatusForbidden}
	kindNoToken       = kind{"no_token", http.StatusUnauthorized}
	kindNoRight       = kind{"no_right", http.StatusForbidden}
	kindTooLarge      = kind{"too_large", http.StatusRequestEntityTooLarge}
	kindUnsupported   = kind{"unsupported_type", http.StatusUnsupportedMediaType}
	kindNotAcceptable = kind{"not_acceptable", http.StatusNotAcceptable}
	kindMethod        = kind{"method", http.StatusMethodNotAllowed}
	kindUnavailable   = kind{"unavailable", http.StatusServiceUnavailable}
	kindInternal      = kind{"internal", http.StatusInternalServerError}
)

// problems is the one table from errors to kinds. What is not in it is internal: a store that cannot
// be read, a journal that is damaged.
var problems = []struct {
	err error
	kind
}{
	{replay.ErrNotFound, kindNotFound},
	{store.ErrNotFound, kindNotFound},
	{replay.ErrErased, kindErased},
	{runner.ErrNotLive, kindNotLive},
	{context.DeadlineExceeded, kindUnavailable},
	{context.Canceled, kindUnavailable},
}

// routes are the kinds of what the router says by itself, by status.
var routes = map[int]kind{
	http.StatusNotFound: kindNotFound, http.StatusMethodNotAllowed: kindMethod, http.StatusBadRequest: kindMalformed,
	http.StatusUnsupportedMediaType: kindUnsupported, http.StatusRequestEntityTooLarge: kindTooLarge,
}

// failure is an error that knows its kind.
type failure struct {
	kind
	detail string
	field  string
	cause  error
}

func (f *failure) Error() string { return f.detail }
func (f *failure) Unwrap() error { return f.cause }

func fail(k kind, format string, args ...any) *failure {
	return &failure{kind: k, detail: fmt.Sprintf(format, args...)}
}

// refused is an operator's no: the request was understood, and the run is not in a state for it.
func refused(err error) error {
	if err == nil {
		return nil
	}
	for _, p := range problems {
		if errors.Is(err, p.err) {
			return err
		}
	}
	return &failure{kind: kindConflict, detail: err.Error(), cause: err}
}

func problemOf(err error) (api.Problem, int) {
	k, detail, field := kindInternal, err.Error(), ""
	var f *failure
	var he *echo.HTTPError
	switch {
	case errors.As(err, &f):
		k, detail, field = f.kind, f.detail, f.field
	case errors.As(err, &he):
		if errors.As(he.Internal, &f) {
			k, detail, field = f.kind, f.detail, f.field
			break
		}
		var ok bool
		if k, ok = routes[he.Code]; !ok {
			k = kind{"invalid", he.Code}
		}
		detail = fmt.Sprint(he.Message)
		if k == kindNotFound {
			detail = "there is nothing at this address: /api/openapi.yaml lists what there is"
		}
	default:
		for _, p := range problems {
			if errors.Is(err, p.err) {
				k = p.kind
				break
			}
		}
	}
	p := api.Problem{Type: "urn:tachograph:problem:" + k.word, Title: http.StatusText(k.status), Status: k.status, Detail: detail, Kind: api.ProblemKind(k.word)}
	if field != "" {
		p.Field = &field
	}
	return p, k.status
}

// writeProblem answers a request that failed. An answer that has begun can only be broken off.
func (s *Server) writeProblem(err error, c echo.Context) {
	p, status := problemOf(err)
	if p.Kind == api.ProblemKind(kindInternal.word) {
		s.Log.Error("answer request", "method", c.Request().Method, "path", c.Request().URL.Path, "error", err)
	}
	if c.Response().Committed {
		return
	}
	h := c.Response().Header()
	access.Status(h, err) // for a missing token, how to show one
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"kind":"internal"}`)
	}
	h.Del(echo.HeaderContentLength)
	h.Set("Content-Security-Policy", contentPolicy)
	c.Blob(status, "application/problem+json", body)
}
