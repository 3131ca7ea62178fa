package ship_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/record"
)

// patience ends a test that would wait for ever; nothing depends on its length.
const patience = time.Minute

// answer is what a receiver does with a request.
type answer struct {
	code    int           // HTTP status; 0: 200
	after   time.Duration // Retry-After, RetryInfo
	lose    bool          // it is not kept, whatever the answer says
	cut     bool          // the connection breaks in place of an answer
	rejects func(plog.LogRecord) bool
}

// receiver is an OTLP endpoint on loopback, and the store behind it. It keeps each record once.
type receiver struct {
	plogotlp.UnimplementedGRPCServer

	// decide looks at a request before it is kept. Nil: it is taken.
	decide func(request int, logs plog.Logs) answer
	strict bool // entries must come after all that they name

	mu       sync.Mutex
	changed  chan struct{}
	requests int
	records  int // kept or again
	again    int // were there already
	biggest  int // bytes of a request
	faults   []string

	entries     map[journal.RunID]map[int64][]byte
	heads       map[journal.RunID][][]byte
	checkpoints map[journal.RunID]map[int64][]byte
	salts       map[string]journal.Salt
	parts       map[string]map[int64][]byte // by space/scope/name
	whole       map[string]int64            // parts of it
	sizes       map[string]int64
}

func newReceiver() *receiver {
	r := &receiver{changed: make(chan struct{})}
	r.empty()
	return r
}

// empty forgets everything, as a store whose disk was lost.
func (r *receiver) empty() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries, r.heads = map[journal.RunID]map[int64][]byte{}, map[journal.RunID][][]byte{}
	r.checkpoints, r.salts = map[journal.RunID]map[int64][]byte{}, map[string]journal.Salt{}
	r.parts, r.whole, r.sizes = map[string]map[int64][]byte{}, map[string]int64{}, map[string]int64{}
}

func (r *receiver) serveHTTP(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(r.handle))
	t.Cleanup(server.Close)
	return server.URL
}

func (r *receiver) handle(w http.ResponseWriter, req *http.Request) {
	raw, err := io.ReadAll(req.Body)
	export := plogotlp.NewExportRequest()
	if err == nil {
		err = export.UnmarshalProto(raw)
	}
	if err != nil || req.URL.Path != "/v1/logs" || req.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, fmt.Sprint(req.URL.Path, err), http.StatusNotFound)
		return
	}
	r.mu.Lock()
	r.biggest = max(r.biggest, len(raw))
	r.mu.Unlock()
	a, resp := r.take(export.Logs())
	switch {
	case a.cut:
		panic(http.ErrAbortHandler)
	case a.code != 0 && a.code != http.StatusOK:
		if a.after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(a.after/time.Second)))
		}
		http.Error(w, "not now", a.code)
		return
	}
	body, err := resp.MarshalProto()
	if err != nil {
		panic(err)
	}
	w.Write(body)
}

func (r *receiver) serveGRPC(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer() // with its default limit of 4 MiB
	plogotlp.RegisterGRPCServer(server, r)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "grpc://" + listener.Addr().String()
}

// Export implements the gRPC service.
func (r *receiver) Export(_ context.Context, req plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	a, resp := r.take(req.Logs())
	switch {
	case a.code == http.StatusBadRequest:
		return resp, status.Error(codes.InvalidArgument, "no")
	case a.code == http.StatusRequestEntityTooLarge:
		return resp, status.Error(codes.ResourceExhausted, "too large")
	case a.code != 0 || a.cut:
		s := status.New(codes.Unavailable, "not now")
		if a.after > 0 {
			s, _ = s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(a.after)})
		}
		return resp, s.Err()
	}
	return resp, nil
}

func (r *receiver) take(logs plog.Logs) (answer, plogotlp.ExportResponse) {
	r.mu.Lock()
	request := r.requests
	r.requests++
	r.mu.Unlock()
	var a answer
	if r.decide != nil {
		a = r.decide(request, logs)
	}
	resp := plogotlp.NewExportResponse()
	if a.lose || a.code != 0 && a.code != http.StatusOK {
		return a, resp
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rejected := int64(0)
	eachRecord(logs, func(l plog.LogRecord) {
		if a.rejects != nil && a.rejects(l) {
			rejected++
			return
		}
		if err := r.keep(l); err != nil {
			r.faults = append(r.faults, err.Error())
		}
	})
	if rejected > 0 {
		resp.PartialSuccess().SetRejectedLogRecords(rejected)
		resp.PartialSuccess().SetErrorMessage("it does not please me")
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return a, resp
}

func eachRecord(logs plog.Logs, each func(plog.LogRecord)) {
	for _, group := range logs.ResourceLogs().All() {
		for _, scope := range group.ScopeLogs().All() {
			for _, l := range scope.LogRecords().All() {
				each(l)
			}
		}
	}
}

func text(l plog.LogRecord, key string) string {
	v, ok := l.Attributes().Get(key)
	if !ok || v.Type() != pcommon.ValueTypeStr {
		return ""
	}
	return v.Str()
}

func number(l plog.LogRecord, key string) int64 {
	v, ok := l.Attributes().Get(key)
	if !ok || v.Type() != pcommon.ValueTypeInt {
		return -1
	}
	return v.Int()
}

func (r *receiver) keep(l plog.LogRecord) error {
	body := l.Body().Bytes().AsRaw()
	r.records++
	if err := record.CheckBody(body, text(l, record.KeyHash)); err != nil {
		return err
	}
	if len(body) > record.MaxPart || l.Timestamp() == 0 {
		return fmt.Errorf("%s of %d bytes at %d", l.EventName(), len(body), l.Timestamp())
	}
	run, err := journal.ParseRunID(text(l, record.KeyRun))
	if err != nil {
		return err
	}
	seq := number(l, record.KeySeq)
	switch l.EventName() {
	case record.Family:
		if text(l, record.KeyFamily) == "" || len(body) != 32 {
			return fmt.Errorf("salt of %d bytes for family %q", len(body), text(l, record.KeyFamily))
		}
		r.salts[text(l, record.KeyFamily)] = journal.Salt(body)
	case record.Content:
		return r.keepPart(l, body)
	case record.Entry:
		return r.keepEntry(l, run, seq, body)
	case record.Head:
		if contains(r.heads[run], body) {
			r.again++
			return nil
		}
		r.heads[run] = append(r.heads[run], body)
	case record.Checkpoint:
		if r.checkpoints[run] == nil {
			r.checkpoints[run] = map[int64][]byte{}
		}
		r.checkpoints[run][seq] = body
	default:
		return fmt.Errorf("unknown record %q", l.EventName())
	}
	return nil
}

func contains(list [][]byte, b []byte) bool {
	for _, o := range list {
		if string(o) == string(b) {
			return true
		}
	}
	return false
}

func pieceKey(space, scope, name string) string { return space + "/" + scope + "/" + name }

func (r *receiver) keepPart(l plog.LogRecord, body []byte) error {
	key := pieceKey(text(l, record.KeySpace), text(l, record.KeyScope), text(l, record.KeyName))
	part, parts, size := number(l, record.KeyPart), number(l, record.KeyParts), number(l, record.KeySize)
	if r.parts[key] == nil {
		r.parts[key] = map[int64][]byte{}
		r.whole[key], r.sizes[key] = parts, size
	}
	if old, ok := r.parts[key][part]; ok {
		r.again++
		if string(old) != string(body) {
			return fmt.Errorf("part %d of %s came again with other bytes", part, key)
		}
	}
	if parts < 1 || part < 0 || part >= parts || r.whole[key] != parts || r.sizes[key] != size {
		return fmt.Errorf("%s: part %d of %d, %d bytes in all, after %d parts of %d", key, part, parts, size, r.whole[key], r.sizes[key])
	}
	r.parts[key][part] = body
	return nil
}

func (r *receiver) piece(space, scope string, name [32]byte) ([]byte, bool) {
	key := pieceKey(space, scope, hex.EncodeToString(name[:]))
	parts := r.parts[key]
	if len(parts) == 0 || int64(len(parts)) < r.whole[key] {
		return nil, false
	}
	b := []byte{}
	for i := range r.whole[key] {
		b = append(b, parts[i]...)
	}
	return b, int64(len(b)) == r.sizes[key]
}

func (r *receiver) keepEntry(l plog.LogRecord, run journal.RunID, seq int64, line []byte) error {
	e, err := journal.Decode(line)
	if err != nil {
		return err
	}
	if e.Run != run || e.Seq != seq || e.Epoch != number(l, record.KeyEpoch) || !e.Time.Equal(l.Timestamp().AsTime()) {
		return fmt.Errorf("entry %d of run %s says it is %d of %s", seq, run, e.Seq, e.Run)
	}
	if r.entries[run] == nil {
		r.entries[run] = map[int64][]byte{}
	}
	if old, ok := r.entries[run][seq]; ok {
		r.again++
		if string(old) != string(line) {
			return fmt.Errorf("entry %d came again with other bytes", seq)
		}
	}
	r.entries[run][seq] = line
	if !r.strict {
		return nil
	}
	body, err := journal.DecodeBody(e.Kind, e.Body)
	if err != nil {
		return err
	}
	family := text(l, record.KeyFamily)
	if _, ok := r.salts[family]; !ok {
		return fmt.Errorf("entry %d came before its salt", seq)
	}
	for _, ref := range journal.Refs(body) {
		if _, ok := r.piece(record.SpaceContent, family, ref); !ok {
			return fmt.Errorf("entry %d (%s) came before content %s", seq, e.Kind, ref.Short())
		}
	}
	for _, root := range journal.Objects(body) {
		if _, ok := r.piece(record.SpaceObject, family, root); ok {
			continue
		}
		if _, ok := r.piece(record.SpaceObject, hex.EncodeToString(root[:]), root); !ok {
			return fmt.Errorf("entry %d (%s) came before tree %s", seq, e.Kind, root.Short())
		}
	}
	return nil
}

// RunState and the methods after it make the receiver a ship.Store.
func (r *receiver) RunState(_ context.Context, run journal.RunID) (int64, journal.Hash, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	newest := int64(-1)
	for seq := range r.entries[run] {
		newest = max(newest, seq)
	}
	if newest < 0 {
		return 0, journal.Hash{}, nil
	}
	return int64(len(r.entries[run])), journal.HashEntry(r.entries[run][newest]), nil
}

func (r *receiver) CountBefore(_ context.Context, run journal.RunID, before int64) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := int64(0)
	for seq := range r.entries[run] {
		if seq < before {
			n++
		}
	}
	return n, nil
}

func (r *receiver) Lacks(_ context.Context, space, scope string, names [][32]byte) ([][32]byte, error) {
	if len(names) > 1000 {
		return nil, fmt.Errorf("%d names at once", len(names))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var lacks [][32]byte
	for _, name := range names {
		if _, ok := r.piece(space, scope, name); !ok {
			lacks = append(lacks, name)
		}
	}
	return lacks, nil
}

func (r *receiver) HasSalt(_ context.Context, family journal.RunID) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.salts[family.String()]
	return ok, nil
}

func (r *receiver) Heads(_ context.Context, run journal.RunID) ([][]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.heads[run]...), nil
}

// await waits until the receiver has what it should have.
func (r *receiver) await(t testing.TB, enough func() bool) {
	t.Helper()
	for {
		r.mu.Lock()
		ok, changed := enough(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-time.After(patience):
			t.Fatal("the records did not arrive")
		}
	}
}

// holds fails unless the receiver can rebuild the run: every entry, everything that entries name,
// whole trees, every signed head, every checkpoint.
func (r *receiver) holds(t testing.TB, j *state.Journal) {
	t.Helper()
	ctx := context.Background()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, fault := range r.faults {
		t.Error(fault)
	}
	family := j.Family().String()
	salt, ok := r.salts[family]
	if own, err := j.Salt(ctx); err != nil || !ok || own != salt {
		t.Errorf("salt is missing or wrong (%v)", err)
	}
	base := ""
	seen := map[journal.Object]bool{}
	count := int64(0)
	for line, err := range j.Entries(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if got := r.entries[j.ID()][count]; string(got) != string(line) {
			t.Fatalf("entry %d: got %.80q, want %.80q", count, got, line)
		}
		count++
		e, err := journal.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			t.Fatal(err)
		}
		if started, ok := body.(*journal.RunStarted); ok {
			base = hex.EncodeToString(started.Base[:])
		}
		for _, ref := range journal.Refs(body) {
			if b, ok := r.piece(record.SpaceContent, family, ref); !ok || salt.Name(b) != ref {
				t.Fatalf("entry %d names content %s, which is not there", e.Seq, ref.Short())
			}
		}
		for _, root := range journal.Objects(body) {
			r.hasTree(t, e.Seq, root, family, base, seen)
		}
	}
	if n := int64(len(r.entries[j.ID()])); n != count {
		t.Errorf("%d entries are there, want %d", n, count)
	}
	r.hasMarks(t, j, family)
}

func (r *receiver) hasTree(t testing.TB, seq int64, root journal.Object, family, base string, seen map[journal.Object]bool) {
	t.Helper()
	object := func(o journal.Object) []byte {
		b, ok := r.piece(record.SpaceObject, family, o)
		if !ok {
			b, ok = r.piece(record.SpaceObject, base, o)
		}
		if !ok || sha256.Sum256(b) != o {
			t.Fatalf("entry %d names tree %s, whose object %s is not there", seq, root.Short(), o.Short())
		}
		return b
	}
	objects, err := journal.NewObjects(root, nil, func(o journal.Object) bool { return seen[o] }, func(names []journal.Object) ([][]byte, error) {
		var texts [][]byte
		for _, o := range names {
			texts = append(texts, object(o))
		}
		return texts, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		object(o.Name)
		seen[o.Name] = true
	}
}

func (r *receiver) hasMarks(t testing.TB, j *state.Journal, family string) {
	t.Helper()
	ctx := context.Background()
	heads, err := j.Heads(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range heads {
		if !contains(r.heads[j.ID()], h) {
			t.Errorf("signed head %.80q is not there", h)
		}
	}
	n := 0
	for after := int64(-1); ; n++ {
		at, text, err := j.CheckpointAfter(ctx, after)
		if err != nil {
			break
		}
		after = at
		if string(r.checkpoints[j.ID()][at]) != string(text) {
			t.Errorf("checkpoint %d is not there", at)
			continue
		}
		s, err := journal.LoadCheckpoint(text, func(names []journal.Hash) (texts [][]byte, err error) {
			for _, name := range names {
				b, ok := r.piece(record.SpaceChunk, family, name)
				if !ok {
					return nil, fmt.Errorf("chunk %s is not there", name.Short())
				}
				texts = append(texts, b)
			}
			return texts, nil
		})
		if err == nil {
			err = s.ReadLists()
		}
		if err != nil {
			t.Errorf("checkpoint %d: %v", at, err)
			continue
		}
		if own, err := j.At(ctx, at); err != nil || own.Hash() != s.Hash() {
			t.Errorf("checkpoint %d holds another state (%v)", at, err)
		}
	}
	if n == 0 && j.Len() > 200 {
		t.Error("the run has no checkpoints: the test shows nothing")
	}
}
