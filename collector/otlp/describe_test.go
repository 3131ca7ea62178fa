package otlp

import (
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// The texts in this file say everything that is in a span or a log record, once from our views and once
// from pdata's tree, so that the two readings can be compared.

func sayValue(v Value) string {
	var b strings.Builder
	switch v.Type {
	case Empty:
		b.WriteString("-")
	case String:
		fmt.Fprintf(&b, "s%q", v.Text)
	case Bool:
		fmt.Fprintf(&b, "b%v", v.Bool())
	case Int:
		fmt.Fprintf(&b, "i%d", v.Int())
	case Double:
		fmt.Fprintf(&b, "d%x", math.Float64bits(v.Double()))
	case Bytes:
		fmt.Fprintf(&b, "y%x", v.Text)
	case List:
		b.WriteString("[")
		for item := range v.Items {
			b.WriteString(sayValue(item) + ",")
		}
		b.WriteString("]")
	case Map:
		b.WriteString("{")
		for a := range v.Entries {
			fmt.Fprintf(&b, "%q:%s,", a.Key, sayValue(a.Value))
		}
		b.WriteString("}")
	}
	return b.String()
}

func sayAttrs(attrs []Attr) string {
	var b strings.Builder
	for _, a := range attrs {
		fmt.Fprintf(&b, "%q=%s ", a.Key, sayValue(a.Value))
	}
	return b.String()
}

func sayPdata(v pcommon.Value) string {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return fmt.Sprintf("s%q", v.Str())
	case pcommon.ValueTypeBool:
		return fmt.Sprintf("b%v", v.Bool())
	case pcommon.ValueTypeInt:
		return fmt.Sprintf("i%d", v.Int())
	case pcommon.ValueTypeDouble:
		return fmt.Sprintf("d%x", math.Float64bits(v.Double()))
	case pcommon.ValueTypeBytes:
		return fmt.Sprintf("y%x", v.Bytes().AsRaw())
	case pcommon.ValueTypeSlice:
		text := "["
		for _, item := range v.Slice().All() {
			text += sayPdata(item) + ","
		}
		return text + "]"
	case pcommon.ValueTypeMap:
		text := "{"
		for key, item := range v.Map().All() {
			text += fmt.Sprintf("%q:%s,", key, sayPdata(item))
		}
		return text + "}"
	}
	return "-"
}

func sayPdataAttrs(m pcommon.Map) string {
	var b strings.Builder
	for key, v := range m.All() {
		fmt.Fprintf(&b, "%q=%s ", key, sayPdata(v))
	}
	return b.String()
}

func sayFrom(r *Resource, s *Scope) string {
	return fmt.Sprintf("resource %s %d %q scope %q %q %s %d %q\n", sayAttrs(r.Attributes), r.Dropped, r.SchemaURL,
		s.Name, s.Version, sayAttrs(s.Attributes), s.Dropped, s.SchemaURL)
}

func sayPdataFrom(r pcommon.Resource, url string, s pcommon.InstrumentationScope, scopeURL string) string {
	return fmt.Sprintf("resource %s %d %q scope %q %q %s %d %q\n", sayPdataAttrs(r.Attributes()), r.DroppedAttributesCount(), url,
		s.Name(), s.Version(), sayPdataAttrs(s.Attributes()), s.DroppedAttributesCount(), scopeURL)
}

// sayID leaves zeros out, which pdata cannot tell from no id.
func sayID(id string) string {
	if strings.Trim(id, "\x00") == "" {
		return ""
	}
	return hex.EncodeToString([]byte(id))
}

// sayTraces is our reading.
func sayTraces(body []byte, limits Limits) (string, error) {
	var b strings.Builder
	err := ReadTraces(body, limits, func(r *Resource, s *Scope, sp *Span) error {
		b.WriteString(sayFrom(r, s))
		fmt.Fprintf(&b, "span %s %s %s %q %q %d %d %d %d %s d%d e%d l%d status %d %q\n", sayID(sp.Trace), sayID(sp.ID), sayID(sp.Parent), sp.TraceState, sp.Name, sp.Flags,
			sp.Kind, sp.Start, sp.End, sayAttrs(sp.Attributes), sp.DroppedAttributes, sp.DroppedEvents, sp.DroppedLinks, sp.StatusCode, sp.StatusMessage)
		for _, e := range sp.Events {
			fmt.Fprintf(&b, "event %d %q %s %d\n", e.Time, e.Name, sayAttrs(e.Attributes), e.Dropped)
		}
		for _, l := range sp.Links {
			fmt.Fprintf(&b, "link %s %s %q %s %d %d\n", sayID(l.Trace), sayID(l.ID), l.State, sayAttrs(l.Attributes), l.Dropped, l.Flags)
		}
		return nil
	})
	return b.String(), err
}

// id16 and id8 say an id as it was sent: pdata cannot tell one that was not sent from zeros.
func id16(id pcommon.TraceID) string {
	if id.IsEmpty() {
		return ""
	}
	return hex.EncodeToString(id[:])
}

func id8(id pcommon.SpanID) string {
	if id.IsEmpty() {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// sayPdataTraces is pdata's.
func sayPdataTraces(t ptrace.Traces) string {
	var b strings.Builder
	for _, rs := range t.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				b.WriteString(sayPdataFrom(rs.Resource(), rs.SchemaUrl(), ss.Scope(), ss.SchemaUrl()))
				fmt.Fprintf(&b, "span %s %s %s %q %q %d %d %d %d %s d%d e%d l%d status %d %q\n", id16(sp.TraceID()), id8(sp.SpanID()), id8(sp.ParentSpanID()),
					sp.TraceState().AsRaw(), sp.Name(), sp.Flags(), int32(sp.Kind()), uint64(sp.StartTimestamp()), uint64(sp.EndTimestamp()),
					sayPdataAttrs(sp.Attributes()), sp.DroppedAttributesCount(), sp.DroppedEventsCount(), sp.DroppedLinksCount(),
					int32(sp.Status().Code()), sp.Status().Message())
				for _, e := range sp.Events().All() {
					fmt.Fprintf(&b, "event %d %q %s %d\n", uint64(e.Timestamp()), e.Name(), sayPdataAttrs(e.Attributes()), e.DroppedAttributesCount())
				}
				for _, l := range sp.Links().All() {
					fmt.Fprintf(&b, "link %s %s %q %s %d %d\n", id16(l.TraceID()), id8(l.SpanID()), l.TraceState().AsRaw(), sayPdataAttrs(l.Attributes()), l.DroppedAttributesCount(), l.Flags())
				}
			}
		}
	}
	return b.String()
}

func sayLogs(body []byte, limits Limits) (string, error) {
	var b strings.Builder
	err := ReadLogs(body, limits, func(r *Resource, s *Scope, l *Log) error {
		b.WriteString(sayFrom(r, s))
		fmt.Fprintf(&b, "log %d %d %d %q %s %s %d %d %s %s %q\n", l.Time, l.Observed, l.Severity, l.SeverityText, sayValue(l.Body),
			sayAttrs(l.Attributes), l.Dropped, l.Flags, sayID(l.Trace), sayID(l.Span), l.Event)
		return nil
	})
	return b.String(), err
}

func sayPdataLogs(all plog.Logs) string {
	var b strings.Builder
	for _, rl := range all.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, l := range sl.LogRecords().All() {
				b.WriteString(sayPdataFrom(rl.Resource(), rl.SchemaUrl(), sl.Scope(), sl.SchemaUrl()))
				fmt.Fprintf(&b, "log %d %d %d %q %s %s %d %d %s %s %q\n", uint64(l.Timestamp()), uint64(l.ObservedTimestamp()), int32(l.SeverityNumber()), l.SeverityText(),
					sayPdata(l.Body()), sayPdataAttrs(l.Attributes()), l.DroppedAttributesCount(), uint32(l.Flags()), id16(l.TraceID()), id8(l.SpanID()), l.EventName())
			}
		}
	}
	return b.String()
}

// captures are the recorded requests whose names end so, by name.
func captures(t testing.TB, suffix string) map[string][]byte {
	names, err := filepath.Glob(filepath.Join("..", "testdata", "captures", "*", "*"+suffix))
	if err != nil || len(names) == 0 {
		t.Fatalf("no captures that end in %s: %v", suffix, err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = b
	}
	return all
}
