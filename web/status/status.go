// Package status answers monitors: is this process alive, does it do its work, what are its numbers.
// It knows nothing of what it reports; main hands it checks and a handler of metrics.
//
//	GET /healthz   200 as long as the process answers
//	GET /readyz    200 if every check passes, else 503; JSON: {"ready":…,"checks":[{"name","ok","error"}]}
//	GET /metrics   Prometheus text format
//
// It must never tell secrets: an error of a check is shown to whoever may connect.
package status

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Check is one thing that has to work. Try is called at each request, and must heed its context.
type Check struct {
	Name string
	Try  func(context.Context) error
}

// Config of the handler.
type Config struct {
	Checks  []Check
	Metrics http.Handler
}

// Result is how a check went.
type Result struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// Report is the answer of /readyz.
type Report struct {
	Ready  bool     `json:"ready"`
	Checks []Result `json:"checks"`
}

// patience bounds all checks of a request together.
const patience = 5 * time.Second

// Handler answers the three paths.
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, map[string]bool{"alive": true}) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		report := c.try(r.Context())
		code := http.StatusOK
		if !report.Ready {
			code = http.StatusServiceUnavailable
		}
		answer(w, code, report)
	})
	mux.Handle("GET /metrics", c.Metrics)
	return mux
}

func (c Config) try(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	report := Report{Ready: true}
	for _, check := range c.Checks {
		r := Result{Name: check.Name, OK: true}
		if err := check.Try(ctx); err != nil {
			r.OK, r.Error, report.Ready = false, err.Error(), false
		}
		report.Checks = append(report.Checks, r)
	}
	return report
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the status line is out: nothing else can be told
}
