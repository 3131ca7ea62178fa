package store_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/tables"
)

// TestRowsAsTheyWere inserts rows with odd values in every column and compares what stands in the table, as text.
func TestRowsAsTheyWere(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	s := open(t, dsn, store.Options{})
	b := store.NewBatch(uuid.MustParse("019aa000-0000-7000-8000-00000000000a"), time.UnixMilli(1_790_000_000_123))
	var plain tables.Span
	plain.Reset()
	plain.Project, plain.SpanID = "default", 1
	odd := oddSpan()
	b.Span(&plain)
	b.Span(&odd)
	b.Log(&tables.Log{Project: "default", Time: math.MinInt64, Severity: -1, Body: "\xff\x00'\\", BodyType: "s", Attributes: odd.Attributes, Cut: odd.Cut})
	b.Metric(&tables.Metric{Project: "default", Name: "m", Kind: tables.MetricHistogram, Has: 31, Value: math.Inf(-1), ValueInt: math.MinInt64, Count: math.MaxUint64,
		Bounds: []float64{0.5, 1}, Counts: []uint64{1, math.MaxUint64, 3}, Scale: -7, PositiveOffset: math.MinInt32, PositiveCounts: []uint64{1}, Quantiles: []float64{0.5}, QuantileValues: []float64{1e300}})
	b.Intent(&tables.Intent{Project: "default", Vector: []float32{0.1, -1, math.MaxFloat32}, Distance: -1})
	b.Profile(&tables.Profile{Project: "default", Stack: []string{"model", "layer 3", "mul_mat"}, Value: -5})
	b.Score(&tables.Score{Project: "default", Value: math.NaN(), Label: "good"})
	if err := s.Insert(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ table, columns, want string }{
		{"spans", "trace_id, span_id, parent_span_id, toUnixTimestamp64Nano(start), duration_ns, early_end_ns, name, kind, flags, trace_state, status_code, status_message",
			"('00000000-0000-0000-0000-000000000000',1,0,0,0,-1,'',0,0,'',0,'')|('00010203-0405-0607-0809-0a0b0c0d0e0f',18446744073709551615,2,-9223372036854775808,18446744073709551615,-9223372036854775808,'näme\\n',255,4294967295,'a=b',2,'it\\'s\\t')"},
		{"spans", "finish_reasons, input_tokens, cost_nusd, lifted, attributes, attribute_types, attributes_dropped",
			"([],-1,-1,0,{},'',0)|(['stop','stop',''],9223372036854775807,0,18446744073709551615,{'k':'v','k':'1.5','':'\\0'},'sds',3)"},
		{"spans", "arrayMap(x -> toUnixTimestamp64Nano(x), events.time), events.name, events.attributes, events.types, events.dropped",
			"([],[],[],[],[])|([7,8],['first','second'],[{},{'a':'1','b':'x'}],['','is'],[0,9])"},
		{"spans", "links.trace_id, links.span_id, links.state, links.flags, links.attributes, links.types, links.dropped",
			"([],[],[],[],[],[],[])|(['00010203-0405-0607-0809-0a0b0c0d0e0f'],[12],['s'],[1],[{'x':'y'}],[''],[2])"},
		{"spans", "cut.place, cut.key, cut.size, arrayMap(x -> hex(x), cut.body)",
			"([],[],[],[])|(['event 1'],['big'],[70000],['0100000000000000000000000000000000000000000000000000000000000002'])"},
		{"spans", "seg, toUnixTimestamp64Milli(received)", "('019aa000-0000-7000-8000-00000000000a',1790000000123)|('019aa000-0000-7000-8000-00000000000a',1790000000123)"},
		{"logs", "toUnixTimestamp64Nano(time), severity, hex(body), body_type, attributes, attribute_types, cut.key", "(-9223372036854775808,-1,'FF00275C','s',{'k':'v','k':'1.5','':'\\0'},'sds',['big'])"},
		{"metrics", "value, value_int, count, bounds, counts, scale, positive_offset, positive_counts, quantile_values", "(-inf,-9223372036854775808,18446744073709551615,[0.5,1],[1,18446744073709551615,3],-7,-2147483648,[1],[1e300])"},
		{"intents", "vector, distance", "([0.1,-1,3.4028235e38],-1)"},
		{"profiles", "stack, value", "(['model','layer 3','mul_mat'],-5)"},
		{"scores", "value, label", "(nan,'good')"},
	} {
		order := ""
		if c.table == "spans" {
			order = " ORDER BY span_id"
		}
		got := text(t, dsn, "SELECT arrayStringConcat(groupArray(r), '|') FROM (SELECT toString(tuple("+c.columns+")) AS r FROM "+c.table+order+")")
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s\n%s", c.table, c.columns, diff)
		}
	}
}

func oddSpan() tables.Span {
	trace := [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	return tables.Span{Project: "default", TraceID: trace, SpanID: math.MaxUint64, ParentSpanID: 2, Start: math.MinInt64, DurationNS: math.MaxUint64, EarlyEndNS: math.MinInt64,
		Name: "näme\n", Kind: 255, Flags: math.MaxUint32, TraceState: "a=b", StatusCode: 2, StatusMessage: "it's\t", FinishReasons: []string{"stop", "stop", ""},
		InputTokens: math.MaxInt64, Lifted: math.MaxUint64, AttrsDropped: 3,
		Attributes: []tables.Attr{{Key: "k", Value: "v"}, {Key: "k", Value: "1.5", Type: tables.TypeDouble}, {Key: "", Value: "\x00"}},
		Events:     []tables.Event{{Time: 7, Name: "first"}, {Time: 8, Name: "second", Attributes: []tables.Attr{{Key: "a", Value: "1", Type: tables.TypeInt}, {Key: "b", Value: "x"}}, Dropped: 9}},
		Links:      []tables.Link{{TraceID: trace, SpanID: 12, State: "s", Flags: 1, Attributes: []tables.Attr{{Key: "x", Value: "y"}}, Dropped: 2}},
		Cut:        []tables.Cut{{Place: "event 1", Key: "big", Size: 70000, Body: [32]byte{0: 1, 31: 2}}},
	}
}

// text asks for one text.
func text(t testing.TB, dsn, query string) (found string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := embeddedtest.Connect(t, dsn).QueryRow(ctx, query).Scan(&found); err != nil {
		t.Fatal(query, err)
	}
	return found
}

// TestManyWords makes dictionaries whose indices are one, two and four bytes wide.
func TestManyWords(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	s := open(t, dsn, store.Options{})
	b := store.NewBatch([16]byte{}, time.Time{})
	for round, n := range []int{255, 256, 257, 65535, 65536, 65537, 70000} {
		b.Reset(uuid.New(), time.UnixMilli(1_790_000_000_000))
		var row tables.Span
		row.Reset()
		row.Project, row.ParentSpanID = "default", uint64(round+1)
		for i := range n {
			row.SpanID = uint64(i)
			row.Name = uuid.NewSHA1(uuid.Nil, []byte{byte(i), byte(i >> 8), byte(i >> 16)}).String()
			row.StatusMessage = row.Name
			b.Span(&row)
		}
		if err := s.Insert(t.Context(), b); err != nil {
			t.Fatal(n, err)
		}
	}
	conn := embeddedtest.Connect(t, dsn)
	if n := embeddedtest.Number(t, conn, "SELECT countIf(name != status_message) FROM spans"); n != 0 {
		t.Errorf("%d names are not what was appended", n)
	}
	if n := embeddedtest.Number(t, conn, "SELECT count() FROM spans"); n != 255+256+257+65535+65536+65537+70000 {
		t.Errorf("%d rows", n)
	}
}

// TestBatchCopies holds that a batch keeps nothing of the memory that rows came in.
func TestBatchCopies(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	s := open(t, dsn, store.Options{})
	b := store.NewBatch(uuid.New(), time.UnixMilli(1_790_000_000_000))
	memory := []byte("before")
	b.Entry(&tables.Entry{Project: "default", Kind: "note.x", Line: memory})
	b.Content(&tables.Content{Project: "default", Space: "content", Parts: 1, Bytes: memory})
	if b.Rows() != 2 || b.RowsOf("entries") != 1 || b.RowsOf("spans") != 0 || b.Bytes() < 12 {
		t.Errorf("%d rows, %d entries, %d spans, %d bytes", b.Rows(), b.RowsOf("entries"), b.RowsOf("spans"), b.Bytes())
	}
	copy(memory, "AFTER!")
	if err := s.Insert(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := text(t, dsn, "SELECT any(line) || (SELECT any(bytes) FROM content) FROM entries"); got != "beforebefore" {
		t.Errorf("stored %q", got)
	}
}
