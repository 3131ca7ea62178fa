package collector_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"tachograph/schemas/tables"
)

// pairs are attributes by key and value, each as one text, sorted: typed columns do not keep their order.
type pairs []string

// said is everything about a span, as it was sent or as it is stored.
type said struct {
	Trace, Span, Parent, State, Name, Status string
	Kind, Code                               int64
	Start, End                               uint64
	Flags                                    uint32
	Scope, ScopeVersion                      string
	Attributes, Resource, ScopeAttributes    pairs
	Events, Links                            []string
	Dropped                                  [3]uint32
}

// sentSpans says what was sent, from pdata's reading.
func sentSpans(td ptrace.Traces) map[string]said {
	all := map[string]said{}
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				s := said{Trace: uuid.UUID(sp.TraceID()).String(), Span: sp.SpanID().String(), Parent: sp.ParentSpanID().String(), State: sp.TraceState().AsRaw(),
					Name: sp.Name(), Kind: int64(sp.Kind()), Code: int64(sp.Status().Code()), Status: sp.Status().Message(), Start: uint64(sp.StartTimestamp()),
					End: uint64(sp.EndTimestamp()), Flags: sp.Flags(), Scope: ss.Scope().Name(), ScopeVersion: ss.Scope().Version(),
					Attributes: sentPairs(sp.Attributes()), Resource: sentPairs(rs.Resource().Attributes()), ScopeAttributes: sentPairs(ss.Scope().Attributes()),
					Dropped: [3]uint32{sp.DroppedAttributesCount(), sp.DroppedEventsCount(), sp.DroppedLinksCount()}}
				if s.Parent == "" {
					s.Parent = "0000000000000000"
				}
				for _, e := range sp.Events().All() {
					s.Events = append(s.Events, fmt.Sprint(uint64(e.Timestamp()), e.Name(), sentPairs(e.Attributes()), e.DroppedAttributesCount()))
				}
				for _, k := range sp.Links().All() {
					s.Links = append(s.Links, fmt.Sprint(uuid.UUID(k.TraceID()), k.SpanID().String(), k.TraceState().AsRaw(), k.Flags(), sentPairs(k.Attributes()), k.DroppedAttributesCount()))
				}
				all[s.Trace+"/"+s.Span] = s
			}
		}
	}
	return all
}

func sentPairs(m pcommon.Map) pairs {
	all := pairs{}
	for key, v := range m.All() {
		all = append(all, fmt.Sprintf("%q %s", key, sayValue(v)))
	}
	slices.Sort(all)
	return all
}

// sayValue spells a value so that two are equal only if type and value are.
func sayValue(v pcommon.Value) string {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return fmt.Sprintf("string %q", v.Str())
	case pcommon.ValueTypeBool:
		return fmt.Sprintf("bool %v", v.Bool())
	case pcommon.ValueTypeInt:
		return fmt.Sprintf("int %d", v.Int())
	case pcommon.ValueTypeDouble:
		return "double " + sayDouble(v.Double())
	case pcommon.ValueTypeBytes:
		return fmt.Sprintf("bytes %x", v.Bytes().AsRaw())
	case pcommon.ValueTypeSlice:
		text := "["
		for _, item := range v.Slice().All() {
			text += sayValue(item) + ", "
		}
		return text + "]"
	case pcommon.ValueTypeMap:
		var members []string
		for key, item := range v.Map().All() {
			members = append(members, fmt.Sprintf("%q %s", key, sayValue(item)))
		}
		slices.Sort(members)
		return "{" + strings.Join(members, ", ") + "}"
	}
	return "nothing"
}

func sayDouble(d float64) string {
	if math.IsNaN(d) {
		return "NaN"
	}
	return fmt.Sprintf("%x", math.Float64bits(d))
}

// sayJSON spells a value that a column has as JSON (schemas/tables/value.go).
func sayJSON(t *testing.T, v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case bool:
		return fmt.Sprintf("bool %v", v)
	case string:
		return fmt.Sprintf("string %q", v)
	case json.Number:
		if !strings.ContainsAny(v.String(), ".e") {
			return "int " + v.String()
		}
		d, err := v.Float64()
		if err != nil {
			t.Fatal(err)
		}
		return "double " + sayDouble(d)
	case []any:
		text := "["
		for _, item := range v {
			text += sayJSON(t, item) + ", "
		}
		return text + "]"
	case map[string]any:
		if len(v) == 1 {
			for key, inner := range v {
				if special, ok := saySpecial(t, key, inner); ok {
					return special
				}
			}
		}
		return "{" + strings.Join(sayMembers(t, v), ", ") + "}"
	}
	t.Fatalf("%T in JSON", v)
	return ""
}

func sayMembers(t *testing.T, v map[string]any) pairs {
	members := pairs{}
	for key, item := range v {
		members = append(members, fmt.Sprintf("%q %s", key, sayJSON(t, item)))
	}
	slices.Sort(members)
	return members
}

// saySpecial reads the objects that stand for what JSON has no word for.
func saySpecial(t *testing.T, key string, v any) (string, bool) {
	switch key {
	case "$map":
		return "{" + strings.Join(sayMembers(t, v.(map[string]any)), ", ") + "}", true
	case "$double":
		d, err := strconv.ParseFloat(v.(string), 64)
		if err != nil {
			t.Fatal(err)
		}
		return "double " + sayDouble(d), true
	case "$bytes", "$string":
		b, err := base64.StdEncoding.DecodeString(v.(string))
		if err != nil {
			t.Fatal(err)
		}
		if key == "$bytes" {
			return fmt.Sprintf("bytes %x", b), true
		}
		return fmt.Sprintf("string %q", b), true
	}
	return "", false
}

// sayStored spells a value of a map column by its letter.
func sayStored(t *testing.T, text string, letter byte) string {
	switch letter {
	case tables.TypeString:
		return fmt.Sprintf("string %q", text)
	case tables.TypeBool:
		return "bool " + text
	case tables.TypeInt:
		return "int " + text
	case tables.TypeDouble:
		d, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return "double " + sayDouble(d)
	case tables.TypeBytes:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("bytes %x", b)
	case tables.TypeJSON:
		return sayJSON(t, parseJSON(t, text))
	case tables.TypeNone:
		return "nothing"
	}
	t.Fatalf("no such letter: %q", letter)
	return ""
}

func parseJSON(t *testing.T, text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
	return v
}
