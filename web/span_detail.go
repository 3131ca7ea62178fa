package web

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
	"tachograph/web/api"
	"tachograph/web/story"
)

// maxValue bounds a value of an attribute, in bytes.
const maxValue = 64 << 10

var attributeTypes = map[byte]api.AttributeType{
	0: api.AttributeTypeString, tables.TypeString: api.AttributeTypeString, tables.TypeBool: api.AttributeTypeBool, tables.TypeInt: api.AttributeTypeInt,
	tables.TypeDouble: api.AttributeTypeDouble, tables.TypeBytes: api.AttributeTypeBytes, tables.TypeJSON: api.AttributeTypeJson, tables.TypeNone: api.AttributeTypeEmpty,
}

// attributes shows pairs that stand in a place; cuts are those of the span.
func attributes(pairs []tables.Attr, place string, cuts []tables.Cut) []api.Attribute {
	all := make([]api.Attribute, 0, len(pairs))
	for _, p := range pairs {
		told := api.Attribute{Key: text(p.Key), Type: attributeTypes[p.Type], Value: story.Cut(p.Value, maxValue)}
		told.Cut = some(len(p.Value) > maxValue)
		if i := slices.IndexFunc(cuts, func(c tables.Cut) bool { return c.Place == place && c.Key == p.Key }); i >= 0 {
			told.Cut, told.Size = ptr(true), ptr(int64(min(cuts[i].Size, journal.MaxInt)))
			if ref := journal.Ref(cuts[i].Body); !ref.IsZero() {
				told.Ref = ptr(ref.String())
			}
		}
		all = append(all, told)
	}
	return all
}

// spanDetail is a span with everything that was sent of it.
func spanDetail(e *tables.Span) api.SpanDetail {
	told := api.SpanDetail{Span: spanOf(row{ended: e}, e.Start), Attributes: attributes(e.Attributes, "", e.Cut), Resource: resource(e.Resource),
		StatusMessage: some(text(e.StatusMessage)), ScopeName: some(text(e.ScopeName)), ScopeVersion: some(text(e.ScopeVersion)),
		Events: []api.SpanEvent{}, Links: []api.SpanLink{}, Cut: []string{}}
	for i, event := range e.Events {
		told.Events = append(told.Events, api.SpanEvent{Time: nano(event.Time), Name: text(event.Name), Attributes: attributes(event.Attributes, "event "+strconv.Itoa(i), e.Cut)})
	}
	for i, link := range e.Links {
		told.Links = append(told.Links, api.SpanLink{Trace: hex.EncodeToString(link.TraceID[:]), Span: story.SpanID(link.SpanID), Attributes: attributes(link.Attributes, "link "+strconv.Itoa(i), e.Cut)})
	}
	for _, cut := range e.Cut {
		told.Cut = append(told.Cut, text(strings.TrimSpace(cut.Place+" "+cut.Key)))
	}
	return told
}

// resource shows the JSON object that a resource is stored as.
func resource(text string) []api.Attribute {
	all := []api.Attribute{}
	var fields map[string]json.RawMessage
	if text == "" || json.Unmarshal([]byte(text), &fields) != nil {
		return all
	}
	for _, key := range sortedKeys(fields) {
		told := api.Attribute{Key: key, Type: api.AttributeTypeJson, Value: story.Cut(string(fields[key]), maxValue)}
		var plain string
		if json.Unmarshal(fields[key], &plain) == nil {
			told.Type, told.Value = api.AttributeTypeString, story.Cut(plain, maxValue)
		}
		all = append(all, told)
	}
	return all
}
