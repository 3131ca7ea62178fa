package store

import (
	"slices"

	"github.com/google/uuid"

	"tachograph/schemas/tables"
)

// lightRow reads a row of trace_spans.sql.
type lightRow struct {
	tables.Span
	trace uuid.UUID
}

// columns are where the columns go, in the order of the SQL.
func (r *lightRow) columns() []any {
	s := &r.Span
	return []any{&r.trace, &s.SpanID, &s.ParentSpanID, &s.Start, &s.DurationNS, &s.Name, &s.Kind, &s.StatusCode, &s.StatusMessage, &s.Service,
		&s.Operation, &s.RequestModel, &s.ResponseModel, &s.ConversationID, &s.Agent, &s.AgentPath, &s.Tool, &s.ToolCallID, &s.ErrorType, &s.FinishReasons,
		&s.InputTokens, &s.OutputTokens, &s.CachedTokens, &s.CacheWriteTokens, &s.ReasoningTokens, &s.CostNUSD, &s.EntrySeq, &s.Step,
		&s.IntentText, &s.IntentSource, &s.ToolEffect, &s.ToolScope, &s.PolicyDecision, &s.DeltaFiles, &s.DeltaAdded, &s.DeltaRemoved}
}

func (r *lightRow) span() tables.Span {
	r.TraceID, r.Source = r.trace, tables.SourceOTLP
	row := r.Span
	row.FinishReasons = slices.Clone(row.FinishReasons)
	return row
}

// wholeRow reads a row of trace_whole.sql.
type wholeRow struct {
	lightRow
	attributes pairs
	events     nested
	times      []int64
	names      []string
	links      nested
	traces     []uuid.UUID
	spans      []uint64
	places     []string
	keys       []string
	sizes      []uint64
	bodies     []string
}

// pairs are the columns of attributes.
type pairs struct {
	keys, values []string
	types        string
}

// nested are the columns of attributes of each of a list.
type nested struct {
	keys, values [][]string
	types        []string
}

func (r *wholeRow) columns() []any {
	s := &r.Span
	return append(r.lightRow.columns(), &s.Provider, &s.ResponseID, &s.AgentID, &s.ScopeName, &s.ScopeVersion, &s.Resource, &s.Lifted,
		&r.attributes.keys, &r.attributes.values, &r.attributes.types,
		&r.times, &r.names, &r.events.keys, &r.events.values, &r.events.types,
		&r.traces, &r.spans, &r.links.keys, &r.links.values, &r.links.types,
		&r.places, &r.keys, &r.sizes, &r.bodies)
}

func (r *wholeRow) span() tables.Span {
	row := r.lightRow.span()
	row.Attributes = r.attributes.attrs()
	for i := range r.times {
		row.Events = append(row.Events, tables.Event{Time: r.times[i], Name: r.names[i], Attributes: r.events.attrs(i)})
	}
	for i := range r.traces {
		row.Links = append(row.Links, tables.Link{TraceID: r.traces[i], SpanID: r.spans[i], Attributes: r.links.attrs(i)})
	}
	row.Cut = cutsOf(r.places, r.keys, r.sizes, r.bodies)
	return row
}

// cutsOf reads the columns of cut.
func cutsOf(places, keys []string, sizes []uint64, bodies []string) (cuts []tables.Cut) {
	for i := range places {
		cuts = append(cuts, tables.Cut{Place: places[i], Key: keys[i], Size: sizes[i], Body: hash(bodies[i])})
	}
	return cuts
}

func (p pairs) attrs() []tables.Attr {
	attrs := make([]tables.Attr, len(p.keys))
	for i := range p.keys {
		attrs[i] = tables.Attr{Key: p.keys[i], Value: p.values[i], Type: tables.TypeString}
		if i < len(p.types) {
			attrs[i].Type = p.types[i]
		}
	}
	return attrs
}

func (n nested) attrs(i int) []tables.Attr {
	return pairs{n.keys[i], n.values[i], n.types[i]}.attrs()
}
