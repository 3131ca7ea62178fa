//go:build linux

package browser

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fault is what goes wrong with the answers to one route: they are an error, or a field of theirs has
// another name.
type fault struct {
	route *regexp.Regexp // of the path, without the query
	field string         // "": the answer is 500
}

// proxy stands between a browser and the server, spoils what it is told to, and knows the streams of events that go through it.
type proxy struct {
	server  *httptest.Server
	mu      sync.Mutex
	fault   *fault
	spoilt  int // answers, since the fault was set
	streams map[*http.Request]context.CancelFunc
	changed chan struct{} // closed when streams changes; then there is another
}

// proxied is a proxy before the stage, for one test.
func (s *stage) proxied(t *testing.T) *proxy {
	t.Helper()
	p, err := newProxy(s.HTTP)
	must(t, err)
	t.Cleanup(p.close)
	return p
}

func newProxy(target string) (*proxy, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	p := &proxy{streams: map[*http.Request]context.CancelFunc{}, changed: make(chan struct{})}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Del("Accept-Encoding")
			if r.In.Header.Get("Origin") != "" { // the server knows itself under one name only
				r.Out.Header.Set("Origin", target)
			}
		},
		FlushInterval:  -1,
		ModifyResponse: p.spoil,
	}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := p.hit(r); f != nil && f.field == "" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, `{"type":"about:blank","kind":"internal","status":500,"title":"Internal","detail":"spoilt by the test"}`)
			return
		}
		if r.URL.Path == "/api/live" {
			ctx, cancel := context.WithCancel(r.Context())
			defer p.stream(r, nil)
			defer cancel()
			p.stream(r, cancel)
			r = r.WithContext(ctx)
		}
		forward.ServeHTTP(w, r)
	}))
	return p, nil
}

func (p *proxy) close() {
	p.server.CloseClientConnections() // streams of events never end by themselves
	p.server.Close()
}

// stream notes that a stream begins, or with nil that it has ended.
func (p *proxy) stream(r *http.Request, cut context.CancelFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.streams[r] = cut; cut == nil {
		delete(p.streams, r)
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// cut ends all streams in the middle.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cut := range p.streams {
		cut()
	}
}

// await returns when so many streams are open.
func (p *proxy) await(ctx context.Context, n int) error {
	for {
		p.mu.Lock()
		open, changed := len(p.streams), p.changed
		p.mu.Unlock()
		if open == n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d streams are open, want %d: %w", open, n, ctx.Err())
		}
	}
}

// set makes f the fault from now on; nil: none.
func (p *proxy) set(f *fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.spoilt = f, 0
}

// spoiled says how many answers the fault has met.
func (p *proxy) spoiled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spoilt
}

func (p *proxy) hit(r *http.Request) *fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == nil || !p.fault.route.MatchString(r.URL.Path) {
		return nil
	}
	if p.fault.field == "" {
		p.spoilt++
	}
	return p.fault
}

// spoil renames the field wherever it stands in the answer.
func (p *proxy) spoil(response *http.Response) error {
	f := p.hit(response.Request)
	if f == nil || f.field == "" || !slices.Contains([]string{"application/json", "application/x-ndjson"}, mediaType(response)) {
		return nil
	}
	body, err := read(response)
	if err != nil {
		return err
	}
	name := []byte(strconv.Quote(f.field) + ":")
	if bytes.Contains(body, name) {
		p.mu.Lock()
		p.spoilt++
		p.mu.Unlock()
	}
	body = bytes.ReplaceAll(body, name, []byte(strconv.Quote(f.field+"_renamed")+":"))
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.ContentLength = int64(len(body))
	response.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

func mediaType(response *http.Response) string {
	name, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	return name
}

func read(response *http.Response) ([]byte, error) {
	defer response.Body.Close()
	if response.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(response.Body)
	}
	response.Header.Del("Content-Encoding")
	z, err := gzip.NewReader(response.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
