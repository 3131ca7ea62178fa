package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
)

// lane is a connection for inserts that belongs to one life of the engine, as package exact demands. One goroutine uses it at a
// time. After an error it is closed.
type lane interface {
	Life() string
	Present(ctx context.Context, table string, segment [16]byte) (bool, error)
	Insert(ctx context.Context, rows *sending, token string) error
	close()
}

// sending is a block on its way.
type sending struct {
	table   string
	rows    int
	columns proto.Input
}

// lanes keeps the lanes that nobody uses.
type lanes struct {
	options *clickhouse.Options

	mu   sync.Mutex
	idle []lane
}

// with gives use a lane, kept from before if there is one, and keeps it unless use fails. A lane from before may have
// died while nobody used it, so where the connection is what failed, use is called again with another one.
func (l *lanes) with(ctx context.Context, use func(lane) error) error {
	for {
		used, kept, err := l.take(ctx)
		if err != nil {
			return err
		}
		err = use(used)
		if err == nil {
			l.mu.Lock()
			l.idle = append(l.idle, used)
			l.mu.Unlock()
			return nil
		}
		used.close()
		var refused *Exception
		if !kept || errors.As(err, &refused) || ctx.Err() != nil {
			return err
		}
	}
}

func (l *lanes) take(ctx context.Context) (used lane, kept bool, err error) {
	l.mu.Lock()
	if n := len(l.idle); n > 0 {
		used, l.idle = l.idle[n-1], l.idle[:n-1]
	}
	l.mu.Unlock()
	if used != nil {
		return used, true, nil
	}
	if l.options.Protocol == clickhouse.HTTP {
		used, err = newHTTPLane(ctx, l.options)
	} else {
		used, err = newNativeLane(ctx, l.options)
	}
	if err != nil {
		return nil, false, fmt.Errorf("connect: %w", err)
	}
	return used, false, nil
}

func (l *lanes) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, used := range l.idle {
		used.close()
	}
	l.idle = nil
}

// errHungUp: the connection was closed before anything was sent over it.
var errHungUp = errors.New("the engine has closed the connection")

// Questions of a lane.
const (
	askLife     = "SELECT joinGet('life', 'id', toUInt8(1))"
	makeLife    = "INSERT INTO life SELECT 1, generateUUIDv4()"
	askPresent  = "SELECT toUInt8(count() > 0) FROM (SELECT 1 FROM {table:Identifier} WHERE seg = {seg:UUID} LIMIT 1)"
	lifeMissing = "the engine does not keep the row of its table life"
)

// httpLane is one TCP connection that HTTP requests are sent over, one after the other. It is dialled once: where the
// transport would dial again, the request fails.
type httpLane struct {
	options   *clickhouse.Options
	transport *http.Transport
	life      string
	buffer    proto.Buffer
}

func newHTTPLane(ctx context.Context, o *clickhouse.Options) (*httpLane, error) {
	h := &httpLane{options: o}
	var once sync.Mutex // held from the first dial on
	dialer := net.Dialer{Timeout: o.DialTimeout}
	h.transport = &http.Transport{
		DisableCompression:  true, // else the engine zips its answers, ten times slower than loopback
		TLSClientConfig:     o.TLS,
		MaxConnsPerHost:     1,
		MaxIdleConnsPerHost: 1,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if !once.TryLock() {
				return nil, errHungUp
			}
			return dialer.DialContext(ctx, network, address)
		},
	}
	for range 2 {
		text, err := h.ask(ctx, askLife, nil)
		if err != nil {
			h.close()
			return nil, err
		}
		if id, err := uuid.Parse(text); err == nil && id != uuid.Nil {
			h.life = text
			return h, nil
		}
		if _, err := h.ask(ctx, makeLife, nil); err != nil {
			h.close()
			return nil, err
		}
	}
	h.close()
	return nil, errors.New(lifeMissing)
}

func (h *httpLane) Life() string { return h.life }

func (h *httpLane) Present(ctx context.Context, table string, segment [16]byte) (bool, error) {
	text, err := h.ask(ctx, askPresent, map[string]string{"param_table": table, "param_seg": uuid.UUID(segment).String()})
	if err == nil && text != "0" && text != "1" {
		err = fmt.Errorf("answered %.40q where 0 or 1 is due", text)
	}
	return text == "1", err
}

// Insert posts a block, uncompressed: on loopback that costs less than to compress it.
func (h *httpLane) Insert(ctx context.Context, s *sending, token string) error {
	h.buffer.Reset()
	if err := (proto.Block{Columns: len(s.columns), Rows: s.rows}).EncodeRawBlock(&h.buffer, 0, s.columns); err != nil {
		return fmt.Errorf("encode block: %w", err)
	}
	settings := insertSettings(token)
	settings["query"] = s.statement() + " FORMAT Native"
	text, err := h.post(ctx, settings, bytes.NewReader(h.buffer.Buf))
	if err == nil && text != "" {
		err = fmt.Errorf("answered %.300q where nothing is due", text)
	}
	return err
}

// ask sends a query whose answer is one line.
func (h *httpLane) ask(ctx context.Context, query string, parameters map[string]string) (string, error) {
	return h.post(ctx, parameters, strings.NewReader(query))
}

func (h *httpLane) post(ctx context.Context, parameters map[string]string, body io.Reader) (string, error) {
	query := url.Values{"database": {h.options.Auth.Database}}
	for name, value := range h.options.Settings {
		query.Set(name, fmt.Sprint(value))
	}
	for name, value := range parameters {
		query.Set(name, value)
	}
	at := url.URL{Scheme: "http", Host: h.options.Addr[0], Path: cmp.Or(h.options.HttpUrlPath, "/"), RawQuery: query.Encode()}
	if h.options.TLS != nil {
		at.Scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), body)
	if err != nil {
		return "", fmt.Errorf("make request: %w", err)
	}
	for name, value := range h.options.HttpHeaders {
		request.Header.Set(name, value)
	}
	request.Header.Set("X-ClickHouse-User", h.options.Auth.Username)
	request.Header.Set("X-ClickHouse-Key", h.options.Auth.Password)
	response, err := h.transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	return answer(response)
}

// answer reads what came back to the end, so that the connection can be used again and an error that came
// late is seen.
func answer(response *http.Response) (string, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	text := strings.TrimSpace(string(body))
	code, _ := strconv.Atoi(response.Header.Get("X-ClickHouse-Exception-Code")) // none is 0
	switch {
	case code != 0:
		return "", &Exception{Code: code, Message: fmt.Sprintf("%.2000s", text)}
	case response.StatusCode != http.StatusOK:
		return "", fmt.Errorf("answered %s: %.300s", response.Status, text)
	}
	return text, nil
}

func (h *httpLane) close() { h.transport.CloseIdleConnections() }

// statement names the columns, so that a table may have others with defaults.
func (s *sending) statement() string {
	var names strings.Builder
	for i, c := range s.columns {
		if i > 0 {
			names.WriteString(", ")
		}
		names.WriteString("`" + c.Name + "`")
	}
	return "INSERT INTO " + s.table + " (" + names.String() + ")"
}

// insertSettings are those of an INSERT of a segment: at once, as one part, once.
func insertSettings(token string) map[string]string {
	return map[string]string{"async_insert": "0", "insert_deduplicate": "1", "insert_deduplication_token": token,
		"max_insert_threads": "1", "max_partitions_per_insert_block": "1"}
}

// hangUp is how long the native client waits for an answer when no deadline says otherwise.
const hangUp = 5 * time.Minute
