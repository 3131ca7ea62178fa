package otlp

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// pdata gives up a JSON request for one id that is not hexadecimal. One span, or log record, is to be refused for it and
// the rest stored, so a request that pdata refused is looked through here for such ids, and read again without them.

// Refused says of spans or log records, by their number in the request, why they cannot be stored.
type Refused map[uint32]string

// idLengths are the bytes of each id by its name in JSON.
var idLengths = map[string]int{
	"traceId": 16, "trace_id": 16,
	"spanId": 8, "span_id": 8,
	"parentSpanId": 8, "parent_span_id": 8,
}

// recordPath is where a signal's records lie: lists in lists, each under either of two names.
var recordPath = map[Signal][][2]string{
	Traces: {{"resourceSpans", "resource_spans"}, {"scopeSpans", "scope_spans"}, {"spans", "spans"}},
	Logs:   {{"resourceLogs", "resource_logs"}, {"scopeLogs", "scope_logs"}, {"logRecords", "log_records"}},
}

// withoutBadIDs empties the ids in a request's spans (their links' too) or log records that are none, and says which
// records had one. The body is as it was if nothing is found, or if it is not JSON at all.
func withoutBadIDs(signal Signal, body []byte) ([]byte, Refused) {
	w := idWalk{path: recordPath[signal], body: body, decoder: json.NewDecoder(bytes.NewReader(body)), bad: Refused{}, number: -1}
	if len(w.path) == 0 || w.value("", 0, false) != nil || len(w.bad) == 0 {
		return body, nil
	}
	w.out.Write(body[w.copied:])
	return w.out.Bytes(), maps.Clone(w.bad)
}

// idWalk goes through the tokens of a request.
type idWalk struct {
	path    [][2]string
	body    []byte
	decoder *json.Decoder
	out     bytes.Buffer // what was seen, without bad ids
	copied  int          // of body, into out
	number  int64        // of the record that was begun last
	bad     Refused
}

// value walks one value that stands under key. depth is how many lists of the path it lies in; inside says that it is
// part of a record.
func (w *idWalk) value(key string, depth int, inside bool) error {
	from := w.decoder.InputOffset()
	token, err := w.decoder.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			err = w.object(depth, inside)
		} else {
			err = w.list(key, depth, inside)
		}
		if err == nil {
			_, err = w.decoder.Token() // the closing one
		}
	case string:
		if length := idLengths[key]; inside && length > 0 {
			w.id(key, t, length, from)
		}
	}
	return err
}

func (w *idWalk) object(depth int, inside bool) error {
	for w.decoder.More() {
		key, err := w.decoder.Token()
		if err != nil {
			return err
		}
		if err := w.value(key.(string), depth, inside); err != nil {
			return err
		}
	}
	return nil
}

func (w *idWalk) list(key string, depth int, inside bool) error {
	onPath := !inside && depth < len(w.path) && (key == w.path[depth][0] || key == w.path[depth][1])
	if onPath {
		depth++
	}
	records := onPath && depth == len(w.path)
	for w.decoder.More() {
		if records {
			w.number++
		}
		if err := w.value("", depth, inside || records); err != nil {
			return err
		}
	}
	return nil
}

// id looks at an id whose text lies in the body somewhere after from.
func (w *idWalk) id(key, text string, length int, from int64) {
	if b, err := hex.DecodeString(text); err == nil && (len(b) == length || len(b) == 0) {
		return
	}
	if number := uint32(w.number); w.bad[number] == "" {
		w.bad[number] = fmt.Sprintf("%s %.40q is not %d hexadecimal digits", key, text, 2*length)
	}
	end := int(w.decoder.InputOffset())
	start := end - len(strings.TrimLeft(string(w.body[from:end]), " \t\r\n:,"))
	w.out.Write(w.body[w.copied:start])
	w.out.WriteString(`""`)
	w.copied = end
}
