package web

import (
	"context"
	"mime"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// Types of answers.
const (
	typeJSON  = "application/json"
	typeLines = "application/x-ndjson"
	typeArrow = "application/vnd.apache.arrow.stream"
	typeText  = "text/plain"
)

type acceptKey struct{}

// negotiated keeps the request's Accept header for the handlers, which see only its context.
func negotiated(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		c.SetRequest(r.WithContext(context.WithValue(r.Context(), acceptKey{}, r.Header.Get("Accept"))))
		return next(c)
	}
}

// choose picks one of the types that an answer can have: the one that the client wants most, of
// equals the first. A client that says nothing gets the first.
func choose(ctx context.Context, offers ...string) (string, error) {
	accept, _ := ctx.Value(acceptKey{}).(string)
	if strings.TrimSpace(accept) == "" {
		return offers[0], nil
	}
	best, most := "", 0.0
	for _, offer := range offers {
		if q := quality(accept, offer); q > most {
			best, most = offer, q
		}
	}
	if best == "" {
		return "", fail(kindNotAcceptable, "there is %s, and none of it is accepted", strings.Join(offers, ", "))
	}
	return best, nil
}

// quality is what an Accept header says of a type: the most specific range that holds it decides.
func quality(accept, offer string) float64 {
	q, specific := 0.0, -1
	for part := range strings.SplitSeq(accept, ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		level := -1
		switch {
		case kind == offer:
			level = 2
		case strings.HasSuffix(kind, "/*") && kind != "*/*" && strings.HasPrefix(offer, strings.TrimSuffix(kind, "*")):
			level = 1
		case kind == "*/*":
			level = 0
		}
		if level <= specific {
			continue
		}
		specific, q = level, 1
		if text, ok := params["q"]; ok {
			if n, err := strconv.ParseFloat(text, 64); err == nil {
				q = n
			}
		}
	}
	return q
}
