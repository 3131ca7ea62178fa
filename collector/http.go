package collector

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tachograph/collector/otlp"
	"tachograph/schemas/access"
)

// paths of OTLP/HTTP.
var paths = map[string]otlp.Signal{"/v1/traces": otlp.Traces, "/v1/logs": otlp.Logs, "/v1/metrics": otlp.Metrics}

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// Handler speaks OTLP/HTTP to whom the gate lets in. The server round it should bound the time in which headers
// and bodies come; see [HTTPServer].
func (c *Collector) Handler(gate *access.Gate) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serveHTTP(w, r, gate) })
}

// HTTPServer is a server with the bounds that Handler wants.
func (c *Collector) HTTPServer(gate *access.Gate) *http.Server {
	return &http.Server{Handler: c.Handler(gate), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute,
		IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 64 << 10}
}

func (c *Collector) serveHTTP(w http.ResponseWriter, r *http.Request, gate *access.Gate) {
	signal, ok := paths[r.URL.Path]
	_, err := gate.Caller(r, access.Send)
	switch {
	case err != nil:
		http.Error(w, err.Error(), access.Status(w.Header(), err))
		return
	case !ok:
		http.Error(w, fmt.Sprintf("no such path: %.80q. OTLP/HTTP is taken at /v1/traces, /v1/logs and /v1/metrics: set OTEL_EXPORTER_OTLP_ENDPOINT to the address alone, without a path.", r.URL.Path), http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, fmt.Sprintf("method %.20q: OTLP is sent with POST", r.Method), http.StatusMethodNotAllowed)
		return
	}
	asJSON, err := contentType(r)
	var res result
	if err == nil {
		res, err = c.receive(r, signal, asJSON)
	}
	if err != nil {
		c.refuseHTTP(w, err, asJSON)
		return
	}
	answer := res.success()
	if asJSON {
		if answer, err = res.successJSON(signal); err != nil {
			c.refuseHTTP(w, err, asJSON)
			return
		}
	}
	c.write(w, http.StatusOK, answer, asJSON)
}

// contentType says whether the request is JSON. A request of unknown type is answered in JSON, which a
// person can read.
func contentType(r *http.Request) (asJSON bool, err error) {
	text := r.Header.Get("Content-Type")
	t, _, err := mime.ParseMediaType(text)
	switch {
	case err == nil && (t == typeProtobuf || t == "application/protobuf"):
		return false, nil
	case err == nil && t == typeJSON:
		return true, nil
	}
	return true, fmt.Errorf("%w: content type %.60q: send %s or %s", otlp.ErrMedia, text, typeProtobuf, typeJSON)
}

// receive reads a request and takes it.
func (c *Collector) receive(r *http.Request, signal otlp.Signal, asJSON bool) (result, error) {
	c.counts.requests.Add(1)
	held := int64(0)
	defer func() { c.inFlight.Add(-held) }()
	take := func(n int) error {
		if c.inFlight.Add(int64(n)) > c.config.InFlight {
			c.inFlight.Add(-int64(n))
			return fmt.Errorf("%w: %d MiB of requests are being read", ErrBusy, c.config.InFlight>>20)
		}
		held += int64(n)
		return nil
	}
	limit := c.config.Limits.Body
	if r.ContentLength > int64(limit) {
		return result{}, fmt.Errorf("%w: %d bytes, at most %d are taken", otlp.ErrTooLarge, r.ContentLength, limit)
	}
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	body, err := otlp.Expand(r.Body, encoding, int(max(0, r.ContentLength)), limit, take)
	if err != nil {
		if ended := r.Context().Err(); ended != nil {
			err = ended
		}
		return result{}, err
	}
	var refused otlp.Refused
	if asJSON {
		// pdata's tree and the protobuf made of it, for as long as they live.
		if err := take(2 * len(body)); err != nil {
			return result{}, err
		}
		if body, refused, err = otlp.FromJSON(signal, body, c.config.Limits); err != nil {
			return result{}, err
		}
	}
	return c.accept(r.Context(), signal, body, refused)
}

func (c *Collector) refuseHTTP(w http.ResponseWriter, err error, asJSON bool) {
	code, s, retry := refusal(err)
	if code == http.StatusInternalServerError {
		c.config.Log.Error("a request failed for no known reason", "error", err)
	}
	if retry {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
	}
	var body []byte
	if asJSON {
		body, err = statusJSON(s, retry)
	} else {
		body, err = statusProto(s)
	}
	if err != nil {
		c.config.Log.Error("encode a status", "error", err)
	}
	c.write(w, code, body, asJSON)
}

func (c *Collector) write(w http.ResponseWriter, code int, body []byte, asJSON bool) {
	t := typeProtobuf
	if asJSON {
		t = typeJSON
	}
	w.Header().Set("Content-Type", t)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	if _, err := w.Write(body); err != nil {
		c.config.Log.Debug("a sender did not wait for its answer; what it sent is kept", "error", err)
	}
}
