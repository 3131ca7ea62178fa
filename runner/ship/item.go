package ship

import (
	"encoding/hex"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
	"tachograph/schemas/record"
)

// item is one record on its way.
type item struct {
	event  string
	at     time.Time
	body   []byte
	run    journal.RunID
	family journal.RunID // of entries and salts
	seq    int64         // −1: has none
	epoch  int64         // of entries

	piece *piece // of content: what body is part of
	part  int
	parts int
	size  int
}

// itemOverhead bounds what a record adds to its body: keys, values and lengths.
const itemOverhead = 1 << 10

func (i *item) weight() int { return len(i.body) + itemOverhead }

// cut makes the records of a piece.
func (p *piece) cut(run journal.RunID, b []byte) []item {
	parts := max((len(b)+record.MaxPart-1)/record.MaxPart, 1)
	items := make([]item, parts)
	for n := range items {
		from := n * record.MaxPart
		items[n] = item{event: record.Content, at: p.at, body: b[from:min(from+record.MaxPart, len(b))], run: run, seq: p.seq,
			piece: p, part: n, parts: parts, size: len(b)}
	}
	return items
}

// request makes the OTLP request of the items.
func (s *Shipper) request(items []item) plogotlp.ExportRequest {
	logs := plog.NewLogs()
	group := logs.ResourceLogs().AppendEmpty()
	group.Resource().Attributes().PutStr(attr.ServiceName, "tacho")
	for key, value := range s.cfg.Resource {
		group.Resource().Attributes().PutStr(key, value)
	}
	scope := group.ScopeLogs().AppendEmpty()
	scope.Scope().SetName("tachograph/runner/ship")
	records := scope.LogRecords()
	records.EnsureCapacity(len(items))
	for i := range items {
		items[i].write(records.AppendEmpty())
	}
	return plogotlp.NewExportRequestFromLogs(logs)
}

func (i *item) write(r plog.LogRecord) {
	at := pcommon.NewTimestampFromTime(i.at)
	r.SetEventName(i.event)
	r.SetTimestamp(at)
	r.SetObservedTimestamp(at) // not the clock: the same record has the same bytes whenever it is sent
	r.Body().SetEmptyBytes().FromRaw(i.body)
	a := r.Attributes()
	a.EnsureCapacity(9)
	a.PutStr(record.KeyHash, record.HashOf(i.body))
	a.PutStr(record.KeyRun, i.run.String())
	if i.seq >= 0 {
		a.PutInt(record.KeySeq, i.seq)
	}
	switch i.event {
	case record.Entry:
		a.PutInt(record.KeyEpoch, i.epoch)
		a.PutStr(record.KeyFamily, i.family.String())
	case record.Family:
		a.PutStr(record.KeyFamily, i.family.String())
	case record.Content:
		a.PutStr(record.KeySpace, i.piece.space)
		a.PutStr(record.KeyName, hex.EncodeToString(i.piece.name[:]))
		a.PutStr(record.KeyScope, i.piece.scope)
		a.PutInt(record.KeyPart, int64(i.part))
		a.PutInt(record.KeyParts, int64(i.parts))
		a.PutInt(record.KeySize, int64(i.size))
	}
}
