package store

import (
	"slices"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"tachograph/collector/store/exact"
	"tachograph/collector/store/native"
	"tachograph/schemas/tables"
)

// Batch is one segment: rows of several tables that came together and go into ClickHouse together, each
// exactly once. Every row is copied into columns as it comes; what it was made of may be used again.
// Not safe for use by several goroutines.
type Batch struct {
	// Fresh promises that nobody has tried to insert this segment before, in this process or an earlier one.
	// Without it Insert asks first whether it is there already, which reads a column of the table.
	// A segment that was found when the process started is not fresh.
	Fresh bool

	seg      [16]byte
	received time.Time
	blocks   []*block // those that rows have come for, in the order in which they are inserted
	byName   map[string]*block
	grown    map[runKey][]summaryEntry // entries by run, for the table runs
	progress map[string]*exact.Progress

	spans       *spanColumns
	openSpans   *openSpanColumns
	entries     *entryColumns
	content     *contentColumns
	bases       *baseColumns
	families    *familyColumns
	heads       *headColumns
	checkpoints *checkpointColumns
	runs        *runColumns
	logs        *logColumns
	metrics     *metricColumns
	intents     *intentColumns
	profiles    *profileColumns
	scores      *scoreColumns
}

// order of insertion: whoever sees an entry finds all that it names.
var order = []string{"families", "bases", "content", "checkpoints", "spans", "open_spans", "logs", "metrics", "intents", "profiles", "scores", "entries", "heads", "runs"}

// NewBatch makes an empty segment. Its id is the key of exactly-once: the same rows, the same id, after
// a crash too. Its time of arrival, to the millisecond, is one for all its rows, so that they stand in one
// partition.
func NewBatch(seg [16]byte, received time.Time) *Batch {
	b := &Batch{byName: map[string]*block{}}
	b.Reset(seg, received)
	return b
}

// Reset makes it another segment, empty, that uses the memory again.
func (b *Batch) Reset(seg [16]byte, received time.Time) {
	for _, t := range b.blocks {
		t.reset()
	}
	b.seg, b.received, b.Fresh = seg, received, false
	b.blocks, b.grown, b.progress = b.blocks[:0], map[runKey][]summaryEntry{}, map[string]*exact.Progress{}
}

// Segment is the id.
func (b *Batch) Segment() [16]byte { return b.seg }

// Rows is the number of rows of all tables.
func (b *Batch) Rows() int {
	n := 0
	for _, t := range b.blocks {
		n += t.rows
	}
	return n
}

// RowsOf is the number of rows of one table.
func (b *Batch) RowsOf(table string) int {
	if t := b.byName[table]; t != nil {
		return t.rows
	}
	return 0
}

// Bytes is about the memory that the rows take.
func (b *Batch) Bytes() int {
	n := 0
	for _, t := range b.blocks {
		for _, c := range t.columns {
			n += c.Data.(native.Column).Size()
		}
	}
	return n
}

// block is the rows of one table.
type block struct {
	table   string
	columns proto.Input
	rows    int
}

func (t *block) reset() {
	t.rows = 0
	for _, c := range t.columns {
		c.Data.(native.Column).Reset()
	}
}

// column adds a column to a block that is being built.
func column[C native.Column](t *block, name string, c C) C {
	t.columns = append(t.columns, proto.InputColumn{Name: name, Data: c})
	return c
}

func (t *block) lowCard(name string) *native.LowCard { return column(t, name, native.NewLowCard()) }
func (t *block) text(name string) *native.String     { return column(t, name, native.NewString()) }
func (t *block) uuid(name string) *native.UUID       { return column(t, name, native.NewUUID()) }
func (t *block) hash(name string) *native.Hash       { return column(t, name, native.NewHash()) }
func (t *block) nanos(name string) *native.Int64     { return column(t, name, native.NewNanos()) }
func (t *block) int64(name string) *native.Int64     { return column(t, name, native.NewInt64()) }
func (t *block) uint64(name string) *native.UInt64   { return column(t, name, native.NewUInt64()) }
func (t *block) uint32(name string) *native.UInt32   { return column(t, name, native.NewUInt32()) }
func (t *block) int32(name string) *native.Int32     { return column(t, name, native.NewInt32()) }
func (t *block) uint8(name string) *native.UInt8     { return column(t, name, native.NewUInt8()) }
func (t *block) float64(name string) *native.Float64 { return column(t, name, native.NewFloat64()) }

// row opens a row of the table: the columns are made when the first one comes.
func row[T any](b *Batch, into **T, table string, build func(*block) *T) *T {
	t := b.byName[table]
	if *into == nil {
		t = &block{table: table}
		*into = build(t)
		b.byName[table] = t
	}
	if t.rows == 0 {
		b.blocks = append(b.blocks, t)
	}
	t.rows++
	return *into
}

// inOrder are the blocks with rows in the order of insertion.
func (b *Batch) inOrder() []*block {
	sorted := slices.Clone(b.blocks)
	slices.SortStableFunc(sorted, func(x, y *block) int {
		return slices.Index(order, x.table) - slices.Index(order, y.table)
	})
	return sorted
}

// input is the block as it is sent: its columns and those of the segment.
func (b *Batch) input(t *block) proto.Input {
	at := b.received.UnixMilli()
	if t.table == "runs" {
		received := native.NewMillis()
		for range t.rows {
			received.Append(at)
		}
		return append(slices.Clip(t.columns), proto.InputColumn{Name: "received", Data: received})
	}
	seg, received := native.NewUUID(), native.NewMillis()
	for range t.rows {
		seg.Append(b.seg)
		received.Append(at)
	}
	return append(slices.Clip(t.columns), proto.InputColumn{Name: "seg", Data: seg}, proto.InputColumn{Name: "received", Data: received})
}

// attributes is a map and the letters of its types.
type attributes struct {
	pairs   *native.Pairs
	types   *native.LowCard
	letters []byte
}

func (t *block) attributes() attributes {
	return attributes{pairs: column(t, "attributes", native.NewPairs()), types: t.lowCard("attribute_types")}
}

func (a *attributes) append(list []tables.Attr) {
	a.letters = appendPairs(a.pairs, list, a.letters[:0])
	a.types.AppendBytes(a.letters)
}

// appendPairs adds a row of pairs and gives their letters, none if all are strings.
func appendPairs(pairs *native.Pairs, list []tables.Attr, letters []byte) []byte {
	other := false
	for i := range list {
		pairs.Add(list[i].Key, list[i].Value)
		letter := list[i].Type
		if letter == 0 {
			letter = tables.TypeString
		}
		other = other || letter != tables.TypeString
		letters = append(letters, letter)
	}
	pairs.End()
	if !other {
		return letters[:0]
	}
	return letters
}

// origin is where a span, a log record or a data point comes from.
type origin struct {
	scopeName, scopeVersion, scopeAttributes, scopeSchema *native.LowCard
	scopeDropped                                          *native.UInt32
	resource, resourceSchema                              *native.LowCard
	resourceDropped                                       *native.UInt32
}

func (t *block) origin() origin {
	return origin{t.lowCard("scope_name"), t.lowCard("scope_version"), t.lowCard("scope_attributes"), t.lowCard("scope_schema"), t.uint32("scope_dropped"),
		t.lowCard("resource"), t.lowCard("resource_schema"), t.uint32("resource_dropped")}
}

func (o *origin) append(name, version, attributes, schema string, dropped uint32, resource, resourceSchema string, resourceDropped uint32) {
	o.scopeName.Append(name)
	o.scopeVersion.Append(version)
	o.scopeAttributes.Append(attributes)
	o.scopeSchema.Append(schema)
	o.scopeDropped.Append(dropped)
	o.resource.Append(resource)
	o.resourceSchema.Append(resourceSchema)
	o.resourceDropped.Append(resourceDropped)
}

// cuts is the nested table cut.
type cuts struct {
	place, key *native.Array[*native.LowCard]
	size       *native.Array[*native.UInt64]
	body       *native.Array[*native.Hash]
}

func (t *block) cuts() cuts {
	return cuts{column(t, "cut.place", native.NewArray(native.NewLowCard())), column(t, "cut.key", native.NewArray(native.NewLowCard())),
		column(t, "cut.size", native.NewArray(native.NewUInt64())), column(t, "cut.body", native.NewArray(native.NewHash()))}
}

func (c *cuts) append(list []tables.Cut) {
	for i := range list {
		c.place.Of.Append(list[i].Place)
		c.key.Of.Append(list[i].Key)
		c.size.Of.Append(list[i].Size)
		c.body.Of.Append(list[i].Body)
	}
	c.place.End()
	c.key.End()
	c.size.End()
	c.body.End()
}
