package collector_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/schemas/tables"
)

// whole undoes cuts: it maps place and key to the value before the cut.
type whole map[[2]string]string

func (w whole) of(place, key, shown string) string {
	if text, ok := w[[2]string{place, key}]; ok {
		return text
	}
	return shown
}

func (w whole) pairs(t *testing.T, place string, keys, values []string, letters string) pairs {
	all := pairs{}
	for i, key := range keys {
		letter := tables.TypeString
		if letters != "" {
			letter = letters[i]
		}
		all = append(all, fmt.Sprintf("%q %s", key, sayStored(t, w.of(place, key, values[i]), letter)))
	}
	slices.Sort(all)
	return all
}

func (w whole) object(t *testing.T, place, text string) pairs {
	if text == "" {
		return pairs{}
	}
	members := parseJSON(t, text).(map[string]any)
	for key, v := range members {
		if shown, ok := v.(string); ok {
			members[key] = w.of(place, key, shown)
		}
	}
	return sayMembers(t, members)
}

// row is a stored span.
type row struct {
	said
	id, parent             uint64
	kind, code             uint8
	duration               uint64
	start, early           int64
	resource, scope        string
	keys, values           []string
	letters                string
	lifted                 uint64
	finish                 []string
	eventTimes             []int64
	eventNames             []string
	eventKeys, eventValues [][]string
	eventLetters           []string
	eventDropped           []uint32
	linkTraces             []uuid.UUID
	linkSpans              []uint64
	linkStates             []string
	linkFlags              []uint32
	linkKeys, linkValues   [][]string
	linkLetters            []string
	linkDropped            []uint32
	places, cutKeys        []string
	cutSizes               []uint64
	cutBodies              []string
	typed                  map[string]any
}

// storedSpans says what is stored.
func storedSpans(t *testing.T, conn driver.Conn) map[string]said {
	t.Helper()
	var texts, numbers []string
	for _, l := range tables.Lifts() {
		switch l.Type {
		case tables.TypeString:
			texts = append(texts, "toString("+l.Column+")")
		case tables.TypeInt:
			numbers = append(numbers, l.Column)
		}
	}
	rows, err := conn.Query(t.Context(), `SELECT toString(trace_id), span_id, parent_span_id, trace_state, name, status_message, kind, status_code,
		toUnixTimestamp64Nano(start), duration_ns, early_end_ns, flags, scope_name, scope_version, resource, scope_attributes,
		mapKeys(attributes), mapValues(attributes), attribute_types, lifted, finish_reasons, attributes_dropped, events_dropped, links_dropped,
		arrayMap(x -> toUnixTimestamp64Nano(x), events.time), events.name, arrayMap(x -> mapKeys(x), events.attributes), arrayMap(x -> mapValues(x), events.attributes), events.types, events.dropped,
		links.trace_id, links.span_id, links.state, links.flags, arrayMap(x -> mapKeys(x), links.attributes), arrayMap(x -> mapValues(x), links.attributes), links.types, links.dropped,
		cut.place, cut.key, cut.size, arrayMap(x -> lower(hex(x)), cut.body),
		[`+strings.Join(texts, ", ")+`], [`+strings.Join(numbers, ", ")+`] FROM spans`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []row
	for rows.Next() {
		var r row
		var textValues []string
		var numberValues []int64
		if err := rows.Scan(&r.Trace, &r.id, &r.parent, &r.State, &r.Name, &r.Status, &r.kind, &r.code, &r.start, &r.duration, &r.early, &r.Flags, &r.Scope, &r.ScopeVersion,
			&r.resource, &r.scope, &r.keys, &r.values, &r.letters, &r.lifted, &r.finish, &r.Dropped[0], &r.Dropped[1], &r.Dropped[2],
			&r.eventTimes, &r.eventNames, &r.eventKeys, &r.eventValues, &r.eventLetters, &r.eventDropped,
			&r.linkTraces, &r.linkSpans, &r.linkStates, &r.linkFlags, &r.linkKeys, &r.linkValues, &r.linkLetters, &r.linkDropped,
			&r.places, &r.cutKeys, &r.cutSizes, &r.cutBodies, &textValues, &numberValues); err != nil {
			t.Fatal(err)
		}
		r.typed = map[string]any{}
		for _, l := range tables.Lifts() {
			switch l.Type {
			case tables.TypeString:
				r.typed[l.Key], textValues = fmt.Sprintf("string %q", textValues[0]), textValues[1:]
			case tables.TypeInt:
				r.typed[l.Key], numberValues = fmt.Sprintf("int %d", numberValues[0]), numberValues[1:]
			}
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	found := map[string]said{}
	for _, r := range all {
		s := r.say(t, conn)
		found[s.Trace+"/"+s.Span] = s
	}
	if len(found) != len(all) {
		t.Errorf("%d rows for %d spans", len(all), len(found))
	}
	return found
}

// say puts a row together again.
func (r *row) say(t *testing.T, conn driver.Conn) said {
	w := whole{}
	for i := range r.places {
		w[[2]string{r.places[i], r.cutKeys[i]}] = content(t, conn, r.cutBodies[i], r.cutSizes[i])
	}
	s := r.said
	s.Span, s.Parent = hexOf(r.id), hexOf(r.parent)
	s.Kind, s.Code = int64(r.kind), int64(r.code)
	s.Start, s.End = uint64(r.start), uint64(r.start)+r.duration
	if r.early != tables.Absent {
		s.End = uint64(r.early)
	}
	s.Name, s.State, s.Status = w.of("name", "", s.Name), w.of("state", "", s.State), w.of("status", "", s.Status)
	s.Attributes = w.pairs(t, "", r.keys, r.values, r.letters)
	for bit, l := range tables.Lifts() {
		if r.lifted&(1<<bit) == 0 {
			continue
		}
		value := fmt.Sprint(r.typed[l.Key])
		if l.Type == tables.TypeJSON {
			value = "["
			for _, reason := range r.finish {
				value += fmt.Sprintf("string %q, ", reason)
			}
			value += "]"
		}
		s.Attributes = append(s.Attributes, fmt.Sprintf("%q %s", l.Key, value))
	}
	slices.Sort(s.Attributes)
	s.Resource, s.ScopeAttributes = w.object(t, "resource", r.resource), w.object(t, "scope", r.scope)
	for i := range r.eventTimes {
		place := fmt.Sprint("event ", i)
		s.Events = append(s.Events, fmt.Sprint(uint64(r.eventTimes[i]), w.of(place, "", r.eventNames[i]), w.pairs(t, place, r.eventKeys[i], r.eventValues[i], r.eventLetters[i]), r.eventDropped[i]))
	}
	for i := range r.linkSpans {
		place := fmt.Sprint("link ", i)
		s.Links = append(s.Links, fmt.Sprint(r.linkTraces[i], hexOf(r.linkSpans[i]), r.linkStates[i], r.linkFlags[i], w.pairs(t, place, r.linkKeys[i], r.linkValues[i], r.linkLetters[i]), r.linkDropped[i]))
	}
	return s
}

func hexOf(id uint64) string { return fmt.Sprintf("%x", binary.BigEndian.AppendUint64(nil, id)) }

// content reads what was cut.
func content(t *testing.T, conn driver.Conn, name string, size uint64) string {
	t.Helper()
	var text string
	err := conn.QueryRow(t.Context(), "SELECT arrayStringConcat(groupArray(bytes)) FROM (SELECT part, bytes FROM content WHERE space = 'attribute' AND name = unhex(?) ORDER BY part LIMIT 1 BY part)", name).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	if uint64(len(text)) != size {
		t.Errorf("content %s has %d bytes, the row says %d", name, len(text), size)
	}
	return text
}
