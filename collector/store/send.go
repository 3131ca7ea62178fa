package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
)

// sender sends a block in one INSERT and returns nil once the engine has acknowledged it.
type sender interface {
	send(ctx context.Context, table, token string, rows int, input proto.Input) error
	close()
}

func newSender(o *clickhouse.Options) sender {
	if o.Protocol == clickhouse.HTTP {
		return &httpSender{options: o, transport: newTransport(o)}
	}
	return &nativeSender{options: o}
}

// insertSettings are those of an INSERT of a segment: at once, as one part, once.
func insertSettings(token string) map[string]string {
	return map[string]string{
		"async_insert":                    "0",
		"insert_deduplicate":              "1",
		"insert_deduplication_token":      token,
		"max_insert_threads":              "1",
		"max_partitions_per_insert_block": "1",
	}
}

// statement names the columns, so that a table may have others with defaults.
func statement(table string, input proto.Input) string {
	var names strings.Builder
	for i, c := range input {
		if i > 0 {
			names.WriteString(", ")
		}
		names.WriteString("`" + c.Name + "`")
	}
	return "INSERT INTO " + table + " (" + names.String() + ")"
}

// httpSender posts blocks. Uncompressed: on loopback that costs less than compressing.
type httpSender struct {
	options   *clickhouse.Options
	transport *http.Transport
	buffers   sync.Pool // of *proto.Buffer
}

func (h *httpSender) send(ctx context.Context, table, token string, rows int, input proto.Input) error {
	buf, _ := h.buffers.Get().(*proto.Buffer)
	if buf == nil {
		buf = new(proto.Buffer)
	}
	defer h.buffers.Put(buf)
	buf.Reset()
	if err := (proto.Block{Columns: len(input), Rows: rows}).EncodeRawBlock(buf, 0, input); err != nil {
		return fmt.Errorf("encode block: %w", err)
	}
	query := url.Values{"query": {statement(table, input) + " FORMAT Native"}, "database": {h.options.Auth.Database}}
	for name, value := range insertSettings(token) {
		query.Set(name, value)
	}
	at := url.URL{Scheme: scheme(h.options), Host: h.options.Addr[0], Path: cmp.Or(h.options.HttpUrlPath, "/"), RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), bytes.NewReader(buf.Buf))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("X-ClickHouse-User", h.options.Auth.Username)
	request.Header.Set("X-ClickHouse-Key", h.options.Auth.Password)
	response, err := h.transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("send block: %w", err)
	}
	defer response.Body.Close()
	return answer(response)
}

// answer reads what came back to the end, so that the connection can be used again and an error that came
// late is seen.
func answer(response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	text := strings.TrimSpace(string(body))
	code, _ := strconv.Atoi(response.Header.Get("X-ClickHouse-Exception-Code"))
	if response.StatusCode == http.StatusOK && code == 0 && text == "" {
		return nil
	}
	if code == 0 {
		fmt.Sscanf(text, "Code: %d.", &code) // none is 0
	}
	if code == 0 {
		return fmt.Errorf("answered %s: %.300s", response.Status, text)
	}
	return &Exception{Code: code, Message: fmt.Sprintf("%.2000s", text)}
}

func (h *httpSender) close() { h.transport.CloseIdleConnections() }

// nativeSender speaks the native protocol: a connection for each insert under way, kept for the next.
type nativeSender struct {
	options *clickhouse.Options

	mu   sync.Mutex
	idle []*ch.Client
}

func (n *nativeSender) send(ctx context.Context, table, token string, rows int, input proto.Input) error {
	client, err := n.take(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	query := ch.Query{Body: statement(table, input) + " VALUES", Input: input}
	for name, value := range insertSettings(token) {
		query.Settings = append(query.Settings, ch.Setting{Key: name, Value: value, Important: true})
	}
	if err := client.Do(ctx, query); err != nil {
		client.Close() // what state it is in is not worth finding out
		var refused *ch.Exception
		if errors.As(err, &refused) {
			return &Exception{Code: int(refused.Code), Message: refused.Error()}
		}
		return fmt.Errorf("send block: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.idle = append(n.idle, client)
	return nil
}

func (n *nativeSender) take(ctx context.Context) (*ch.Client, error) {
	n.mu.Lock()
	for len(n.idle) > 0 {
		client := n.idle[len(n.idle)-1]
		n.idle = n.idle[:len(n.idle)-1]
		if !client.IsClosed() {
			n.mu.Unlock()
			return client, nil
		}
	}
	n.mu.Unlock()
	return ch.Dial(ctx, ch.Options{Address: n.options.Addr[0], Database: n.options.Auth.Database, User: n.options.Auth.Username,
		Password: n.options.Auth.Password, TLS: n.options.TLS, DialTimeout: n.options.DialTimeout, Compression: ch.CompressionLZ4,
		ReadTimeout: n.options.ReadTimeout, ClientName: "tacho"})
}

func (n *nativeSender) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, client := range n.idle {
		client.Close()
	}
	n.idle = nil
}
