package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"tachograph/schemas/access"
)

// Who may ask is the rule of package access, with one exception, a person who follows a link to a page, and one more
// demand: what changes something must be application/json, for a form of any page may post other types without being
// asked first.
//
// What is served is told to be nothing but what it is: no sniffing, no frames, scripts and styles
// only from here.

// Limits of a request.
const (
	maxBody = 8 << 20
	maxURL  = 16 << 10
)

// policy is the Content-Security-Policy of the page. A stream or a document of ours that is opened
// by itself has nothing to load: see contentPolicy.
const (
	policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
		"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	contentPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)

// guard refuses what another site's page may have sent, and who may not ask.
func (s *Server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Cache-Control", "no-store")
		if err := s.foreign(r); err != nil {
			return err
		}
		if len(r.RequestURI) > maxURL {
			return fail(kindTooLarge, "the address is longer than %d bytes", maxURL)
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
				return fail(kindUnsupported, "a %s needs Content-Type: application/json (a body of {} will do where there is nothing to say)", r.Method)
			}
		}
		caller, err := s.caller(r)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(access.With(r.Context(), caller))
		defer cancel()
		if caller.Name != "" && r.URL.Path == livePath {
			go s.endWithToken(ctx, cancel, r.Clone(ctx))
		}
		c.SetRequest(r.WithContext(ctx))
		return next(c)
	}
}

func (s *Server) foreign(r *http.Request) error {
	err := s.Gate.Page(r)
	if followsLink(r) {
		err = s.Gate.Host(r.Host)
	}
	if err != nil {
		return fail(kindForeign, "%v", err)
	}
	return nil
}

// livePath is where answers have no end.
const livePath = "/api/live"

// caller says who asks, and that they may. The pages themselves, health, and showing a token need none.
func (s *Server) caller(r *http.Request) (access.Caller, error) {
	right := access.Look
	switch path := r.URL.Path; {
	case !strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/v1/"), path == "/api/session":
		caller, err := s.Gate.Bearer(r, "")
		if err != nil {
			caller = access.Caller{}
		}
		return caller, nil
	case r.Method != http.MethodGet && r.Method != http.MethodHead && !strings.HasSuffix(path, "/verify"): // which only reads
		right = access.Steer
	}
	caller, err := s.Gate.Bearer(r, right)
	if err != nil {
		return caller, notAllowed(err)
	}
	return caller, nil
}

func notAllowed(err error) error {
	k := kindNoRight
	if errors.Is(err, access.ErrToken) {
		k = kindNoToken
	}
	return &failure{kind: k, detail: err.Error(), cause: err}
}

// endWithToken ends an answer that would go on for ever when its token expires or is taken back.
func (s *Server) endWithToken(ctx context.Context, cancel context.CancelFunc, r *http.Request) {
	look := time.NewTicker(beatEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			if _, err := s.Gate.Bearer(r, access.Look); err != nil {
				cancel()
			}
		}
	}
}

// followsLink says whether a person's browser comes for a page, from wherever the link to it stood.
func followsLink(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Origin") == "" &&
		!strings.HasPrefix(r.URL.Path, "/api/")
}

// bounded bounds the body.
func bounded(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.ContentLength > maxBody {
			return fail(kindTooLarge, "the body has %d bytes; at most %d are taken", r.ContentLength, maxBody)
		}
		r.Body = http.MaxBytesReader(c.Response(), r.Body, maxBody)
		return next(c)
	}
}

// strictJSON reads bodies: a field that is not known is an error that names it.
type strictJSON struct{}

func (strictJSON) Serialize(c echo.Context, v any, indent string) error {
	enc := json.NewEncoder(c.Response())
	enc.SetIndent("", indent)
	return enc.Encode(v)
}

func (strictJSON) Deserialize(c echo.Context, v any) error { return readJSON(c.Request().Body, v) }

func readJSON(r io.Reader, v any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return bodyError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fail(kindInvalid, "the body holds more than one JSON value")
	}
	return nil
}

// bodyError says what is wrong with a body, with the field if it is one.
func bodyError(err error) error {
	var big *http.MaxBytesError
	var typed *json.UnmarshalTypeError
	switch {
	case errors.As(err, &big):
		return fail(kindTooLarge, "the body is longer than %d bytes", big.Limit)
	case errors.As(err, &typed):
		name := strings.TrimPrefix(typed.Field, "Spec.") // of agentRequest, whose fields those are
		f := fail(kindInvalid, "field %q is a JSON %s, but should be a %s", name, typed.Value, typed.Type)
		f.field = name
		return f
	case errors.Is(err, io.EOF):
		return fail(kindMalformed, "the body is empty: send a JSON object, {} if there is nothing to say")
	}
	if name, ok := strings.CutPrefix(err.Error(), `json: unknown field `); ok {
		f := fail(kindInvalid, "field %s is not known: remove it", name)
		f.field = strings.Trim(name, `"`)
		return f
	}
	return fail(kindMalformed, "the body is not JSON as described: %v", strings.TrimPrefix(err.Error(), "json: "))
}
