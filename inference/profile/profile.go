// Package profile sends what this process spends its CPU time on to Pyroscope, tied to its spans.
//
//	span ── Tracer.Start ──→ labels of the goroutine: span_id, span_name, trace_id
//	CPU, 100 times a second ──→ sample: stack + labels ── pprof, every 15 s ──→ POST /ingest
//
// The span_id on samples is that of the first span of a request in this process, and so is the
// attribute pyroscope.profile.id, which that span alone gets: Grafana joins the two. What its child
// spans and the goroutines that they start spend is counted to it. A goroutine that outlives its span
// keeps the labels: start those with a background context, before or beside the span.
//
// The package must never be needed: without an address it does nothing and costs nothing, and an
// address where nobody answers costs a warning. It profiles the whole process, so only one Profiler
// can be open at a time; main opens it. It must never read the journal's spans (runner/spans): those
// are views of what was recorded, no code ran under them.
//
// Its credentials are in the header of a request to the address and nowhere else: not in errors or
// logs, and not behind a redirect.
//
// Read [Open]; sender.go is how profiles travel.
package profile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	otelpyroscope "github.com/grafana/otel-profiling-go"
	"github.com/grafana/pyroscope-go"
	"github.com/grafana/pyroscope-go/upstream/remote"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Config is what Open needs. The zero value profiles nothing.
type Config struct {
	Address string            // of a Pyroscope server, as http://127.0.0.1:4040; empty: nothing is profiled
	Service string            // the service.name of the spans; empty: tacho
	Tags    map[string]string // of all profiles, as version or hostname; few values each, they make series
	Every   time.Duration     // between two uploads; 0: 15 s

	// Env looks up the variables of Pyroscope's own clients; nil: os.Getenv.
	//
	//	PYROSCOPE_BASIC_AUTH_USER, PYROSCOPE_BASIC_AUTH_PASSWORD
	//	PYROSCOPE_AUTH_TOKEN   a bearer token, in place of the two
	//	PYROSCOPE_TENANT_ID
	Env func(string) string

	// Spans makes the process's spans; nil: there are none, and samples carry no span_id. Samples of
	// spans that it does not sample carry none either.
	Spans trace.TracerProvider
	Log   *slog.Logger // nil: none
}

// Profiler profiles this process until it is closed.
type Profiler struct {
	spans   trace.TracerProvider
	session *pyroscope.Session // nil: nothing is profiled
	uploads *remote.Remote
	sender  *sender
}

// Open starts to profile, if there is an address. It does not wait for the server: what cannot be
// sent is logged, once until it can again. An error says which setting is wrong.
func Open(c Config) (*Profiler, error) {
	if c.Spans == nil {
		c.Spans = noop.NewTracerProvider()
	}
	p := &Profiler{spans: c.Spans}
	if c.Address == "" {
		return p, nil
	}
	if err := p.start(c); err != nil {
		return nil, fmt.Errorf("open profiler: %w", err)
	}
	return p, nil
}

func (p *Profiler) start(c Config) error {
	if c.Env == nil {
		c.Env = os.Getenv
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Service == "" {
		c.Service = "tacho"
	}
	if err := checkAddress(c.Address); err != nil {
		return err
	}
	upload, err := credentials(c.Env)
	if err != nil {
		return err
	}
	p.sender = newSender(c.Log)
	upload.Address, upload.HTTPClient, upload.Logger = c.Address, p.sender, logger{c.Log}
	upload.Threads = 1 // there is one profile at a time
	// Not pyroscope.Start: it lets an environment variable of its own replace the address, and its
	// Stop may leave before the last profile is sent.
	if p.uploads, err = remote.NewRemote(upload); err != nil {
		return err
	}
	p.session, err = pyroscope.NewSession(pyroscope.SessionConfig{
		Upstream: p.uploads, Logger: upload.Logger, AppName: c.Service, Tags: c.Tags,
		ProfilingTypes: []pyroscope.ProfileType{pyroscope.ProfileCPU}, UploadRate: c.Every,
	})
	if err != nil {
		return err
	}
	p.uploads.Start()
	if err := p.session.Start(); err != nil {
		p.uploads.Stop()
		return err
	}
	p.spans = otelpyroscope.NewTracerProvider(c.Spans)
	return nil
}

// checkAddress refuses what would fail later, or show a password. It does not show the address.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Host == "":
		return errors.New("the address of Pyroscope must be one as http://127.0.0.1:4040")
	case u.User != nil:
		return errors.New("the address of Pyroscope holds a user or password: they belong into PYROSCOPE_BASIC_AUTH_USER and PYROSCOPE_BASIC_AUTH_PASSWORD")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("the address of Pyroscope must not have a query or fragment")
	}
	return nil
}

func credentials(env func(string) string) (remote.Config, error) {
	c := remote.Config{
		BasicAuthUser: env("PYROSCOPE_BASIC_AUTH_USER"), BasicAuthPassword: env("PYROSCOPE_BASIC_AUTH_PASSWORD"),
		TenantID: env("PYROSCOPE_TENANT_ID"),
	}
	if (c.BasicAuthUser == "") != (c.BasicAuthPassword == "") {
		return c, errors.New("set both PYROSCOPE_BASIC_AUTH_USER and PYROSCOPE_BASIC_AUTH_PASSWORD, or none")
	}
	token := env("PYROSCOPE_AUTH_TOKEN")
	switch {
	case token != "" && c.BasicAuthUser != "":
		return c, errors.New("set PYROSCOPE_AUTH_TOKEN or PYROSCOPE_BASIC_AUTH_USER, not both")
	case token != "":
		c.HTTPHeaders = map[string]string{"Authorization": "Bearer " + token}
	}
	return c, nil
}

// TracerProvider makes spans whose CPU time can be told apart: hand it to all that traces this
// process. Without an address it is Config.Spans itself.
func (p *Profiler) TracerProvider() trace.TracerProvider { return p.spans }

// closeTime is how long Close may go on sending.
const closeTime = 5 * time.Second

// Close sends the last profile, for at most five seconds or as long as ctx lives, and ends what Open
// started. Close it after what it profiles and before Config.Spans.
func (p *Profiler) Close(ctx context.Context) {
	if p.session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	defer context.AfterFunc(ctx, p.sender.stop)()
	p.session.Stop()  // hands over the last profile
	p.uploads.Flush() // has it sent
	p.uploads.Stop()
	p.sender.close()
}
