package store

import (
	"tachograph/collector/store/native"
	"tachograph/schemas/tables"
)

// nestedPairs are the attributes of things of which a row has several.
type nestedPairs struct {
	pairs   *native.Array[*native.Pairs]
	types   *native.Array[*native.LowCard]
	letters []byte
}

func (t *block) nestedPairs(name string) nestedPairs {
	return nestedPairs{pairs: column(t, name+".attributes", native.NewArray(native.NewPairs())), types: column(t, name+".types", native.NewArray(native.NewLowCard()))}
}

func (c *nestedPairs) append(list []tables.Attr) {
	c.letters = appendPairs(c.pairs.Of, list, c.letters[:0])
	c.types.Of.AppendBytes(c.letters)
}

func (c *nestedPairs) end() {
	c.pairs.End()
	c.types.End()
}

// eventsColumns is the nested table events.
type eventsColumns struct {
	time       *native.Array[*native.Int64]
	name       *native.Array[*native.LowCard]
	attributes nestedPairs
	dropped    *native.Array[*native.UInt32]
}

func (t *block) events() eventsColumns {
	return eventsColumns{column(t, "events.time", native.NewArray(native.NewNanos())), column(t, "events.name", native.NewArray(native.NewLowCard())),
		t.nestedPairs("events"), column(t, "events.dropped", native.NewArray(native.NewUInt32()))}
}

func (c *eventsColumns) append(list []tables.Event) {
	for i := range list {
		e := &list[i]
		c.time.Of.Append(e.Time)
		c.name.Of.Append(e.Name)
		c.attributes.append(e.Attributes)
		c.dropped.Of.Append(e.Dropped)
	}
	c.time.End()
	c.name.End()
	c.attributes.end()
	c.dropped.End()
}

// linksColumns is the nested table links.
type linksColumns struct {
	traceID    *native.Array[*native.UUID]
	spanID     *native.Array[*native.UInt64]
	state      *native.Array[*native.String]
	flags      *native.Array[*native.UInt32]
	attributes nestedPairs
	dropped    *native.Array[*native.UInt32]
}

func (t *block) links() linksColumns {
	return linksColumns{column(t, "links.trace_id", native.NewArray(native.NewUUID())), column(t, "links.span_id", native.NewArray(native.NewUInt64())),
		column(t, "links.state", native.NewArray(native.NewString())), column(t, "links.flags", native.NewArray(native.NewUInt32())),
		t.nestedPairs("links"), column(t, "links.dropped", native.NewArray(native.NewUInt32()))}
}

func (c *linksColumns) append(list []tables.Link) {
	for i := range list {
		l := &list[i]
		c.traceID.Of.Append(l.TraceID)
		c.spanID.Of.Append(l.SpanID)
		c.state.Of.Append(l.State)
		c.flags.Of.Append(l.Flags)
		c.attributes.append(l.Attributes)
		c.dropped.Of.Append(l.Dropped)
	}
	c.traceID.End()
	c.spanID.End()
	c.state.End()
	c.flags.End()
	c.attributes.end()
	c.dropped.End()
}

// appendAll adds a row of an array.
func appendAll[T any, C interface {
	native.Column
	Append(T)
}](a *native.Array[C], values []T) {
	for _, v := range values {
		a.Of.Append(v)
	}
	a.End()
}
