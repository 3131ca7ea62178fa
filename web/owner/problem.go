package owner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"tachograph/replay"
	"tachograph/runner"
)

// kinds is the one table from errors to the words and statuses of the wire, and back.
var kinds = []struct {
	err    error
	kind   string
	status int
}{
	{replay.ErrNotFound, "not_found", http.StatusNotFound},
	{replay.ErrErased, "erased", http.StatusGone},
	{runner.ErrNotLive, "not_live", http.StatusConflict},
}

// problem is an RFC 9457 problem document.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Kind   string `json:"kind,omitempty"`
}

// writeProblem answers a request that failed.
func writeProblem(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := problem{Title: http.StatusText(http.StatusUnprocessableEntity), Status: http.StatusUnprocessableEntity, Detail: err.Error()}
	var he *echo.HTTPError
	if errors.As(err, &he) {
		p.Status, p.Title, p.Detail = he.Code, http.StatusText(he.Code), fmt.Sprint(he.Message)
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			p.Kind, p.Status, p.Title = k.kind, k.status, http.StatusText(k.status)
			break
		}
	}
	body, _ := json.Marshal(p)
	c.Blob(p.Status, "application/problem+json", body)
}

// readProblem makes the error again.
func readProblem(r *http.Response) error {
	var p problem
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || json.Unmarshal(body, &p) != nil || p.Detail == "" {
		return fmt.Errorf("the owner answered %s", r.Status)
	}
	for _, k := range kinds {
		if p.Kind == k.kind {
			return &remoteError{p.Detail, k.err}
		}
	}
	return errors.New(p.Detail)
}

// remoteError says what the owner said, and matches what the owner's error matched.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }
