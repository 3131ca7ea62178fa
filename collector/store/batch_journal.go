package store

import (
	"tachograph/collector/store/native"
	"tachograph/schemas/tables"
)

type entryColumns struct {
	project, agent, kind *native.LowCard
	run, family          *native.UUID
	seq, epoch, time     *native.Int64
	hash, prev           *native.Hash
	line                 *native.String
}

func newEntryColumns(t *block) *entryColumns {
	return &entryColumns{
		project: t.lowCard("project"),
		run:     t.uuid("run"),
		seq:     t.int64("seq"),
		epoch:   t.int64("epoch"),
		hash:    t.hash("hash"),
		prev:    t.hash("prev"),
		family:  t.uuid("family"),
		time:    t.nanos("time"),
		agent:   t.lowCard("agent"),
		kind:    t.lowCard("kind"),
		line:    t.text("line"),
	}
}

// Entry adds a row of entries.
func (b *Batch) Entry(r *tables.Entry) {
	c := row(b, &b.entries, "entries", newEntryColumns)
	c.project.Append(r.Project)
	c.run.Append(r.Run)
	c.seq.Append(r.Seq)
	c.epoch.Append(r.Epoch)
	c.hash.Append(r.Hash)
	c.prev.Append(r.Prev)
	c.family.Append(r.Family)
	c.time.Append(r.Time)
	c.agent.Append(r.Agent)
	c.kind.Append(r.Kind)
	c.line.AppendBytes(r.Line)
	b.grow(r)
}

type contentColumns struct {
	project, space *native.LowCard
	family, run    *native.UUID
	seq            *native.Int64
	name, hash     *native.Hash
	part, parts    *native.UInt32
	size           *native.UInt64
	bytes          *native.String
}

func newContentColumns(t *block) *contentColumns {
	return &contentColumns{
		project: t.lowCard("project"),
		family:  t.uuid("family"),
		run:     t.uuid("run"),
		seq:     t.int64("seq"),
		space:   t.lowCard("space"),
		name:    t.hash("name"),
		part:    t.uint32("part"),
		parts:   t.uint32("parts"),
		size:    t.uint64("size"),
		hash:    t.hash("hash"),
		bytes:   t.text("bytes"),
	}
}

// Content adds a row of content.
func (b *Batch) Content(r *tables.Content) {
	c := row(b, &b.content, "content", newContentColumns)
	c.project.Append(r.Project)
	c.family.Append(r.Family)
	c.run.Append(r.Run)
	c.seq.Append(min(r.Seq, lastSeq(r.Space)))
	c.space.Append(r.Space)
	c.name.Append(r.Name)
	c.part.Append(r.Part)
	c.parts.Append(r.Parts)
	c.size.Append(r.Size)
	c.hash.Append(r.Hash)
	c.bytes.AppendBytes(r.Bytes)
}

type baseColumns struct {
	project          *native.LowCard
	root, name, hash *native.Hash
	part, parts      *native.UInt32
	size             *native.UInt64
	bytes            *native.String
}

func newBaseColumns(t *block) *baseColumns {
	return &baseColumns{
		project: t.lowCard("project"),
		root:    t.hash("root"),
		name:    t.hash("name"),
		part:    t.uint32("part"),
		parts:   t.uint32("parts"),
		size:    t.uint64("size"),
		hash:    t.hash("hash"),
		bytes:   t.text("bytes"),
	}
}

// Base adds a row of bases.
func (b *Batch) Base(r *tables.Base) {
	c := row(b, &b.bases, "bases", newBaseColumns)
	c.project.Append(r.Project)
	c.root.Append(r.Root)
	c.name.Append(r.Name)
	c.part.Append(r.Part)
	c.parts.Append(r.Parts)
	c.size.Append(r.Size)
	c.hash.Append(r.Hash)
	c.bytes.AppendBytes(r.Bytes)
}

type familyColumns struct {
	project *native.LowCard
	family  *native.UUID
	version *native.UInt8
	salt    *native.String
}

func newFamilyColumns(t *block) *familyColumns {
	return &familyColumns{
		project: t.lowCard("project"),
		family:  t.uuid("family"),
		version: t.uint8("version"),
		salt:    t.text("salt"),
	}
}

// Family adds a row of families.
func (b *Batch) Family(r *tables.Family) {
	c := row(b, &b.families, "families", newFamilyColumns)
	c.project.Append(r.Project)
	c.family.Append(r.Family)
	c.version.Append(r.Version)
	c.salt.AppendBytes(r.Salt)
}

type headColumns struct {
	project *native.LowCard
	run     *native.UUID
	size    *native.Int64
	hash    *native.Hash
	head    *native.String
}

func newHeadColumns(t *block) *headColumns {
	return &headColumns{
		project: t.lowCard("project"),
		run:     t.uuid("run"),
		size:    t.int64("size"),
		hash:    t.hash("hash"),
		head:    t.text("head"),
	}
}

// Head adds a row of heads.
func (b *Batch) Head(r *tables.Head) {
	c := row(b, &b.heads, "heads", newHeadColumns)
	c.project.Append(r.Project)
	c.run.Append(r.Run)
	c.size.Append(r.Size)
	c.hash.Append(r.Hash)
	c.head.AppendBytes(r.Head)
}

type checkpointColumns struct {
	project *native.LowCard
	run     *native.UUID
	seq     *native.Int64
	hash    *native.Hash
	record  *native.String
}

func newCheckpointColumns(t *block) *checkpointColumns {
	return &checkpointColumns{
		project: t.lowCard("project"),
		run:     t.uuid("run"),
		seq:     t.int64("seq"),
		hash:    t.hash("hash"),
		record:  t.text("record"),
	}
}

// Checkpoint adds a row of checkpoints.
func (b *Batch) Checkpoint(r *tables.Checkpoint) {
	c := row(b, &b.checkpoints, "checkpoints", newCheckpointColumns)
	c.project.Append(r.Project)
	c.run.Append(r.Run)
	c.seq.Append(r.Seq)
	c.hash.Append(r.Hash)
	c.record.AppendBytes(r.Record)
}

type runColumns struct {
	project, status, why, model                                                                       *native.LowCard
	run, family, parent                                                                               *native.UUID
	version                                                                                           *native.UInt64
	parentSeq, started, last, entries, agents, held, steps, calls                                     *native.Int64
	inputTokens, cachedTokens, outputTokens, reasoningTokens, estimated, costNUSD, unpriced, activeUS *native.Int64
	limitSteps, limitTokens, limitCostNUSD, limitSeconds                                              *native.Int64
	goal, tip                                                                                         *native.Hash
}

func newRunColumns(t *block) *runColumns {
	return &runColumns{
		project:         t.lowCard("project"),
		run:             t.uuid("run"),
		version:         t.uint64("version"),
		family:          t.uuid("family"),
		parent:          t.uuid("parent"),
		parentSeq:       t.int64("parent_seq"),
		status:          t.lowCard("status"),
		why:             t.lowCard("why"),
		goal:            t.hash("goal"),
		model:           t.lowCard("model"),
		started:         t.nanos("started"),
		last:            t.nanos("last"),
		entries:         t.int64("entries"),
		tip:             t.hash("tip"),
		agents:          t.int64("agents"),
		held:            t.int64("held"),
		steps:           t.int64("steps"),
		calls:           t.int64("calls"),
		inputTokens:     t.int64("input_tokens"),
		cachedTokens:    t.int64("cached_tokens"),
		outputTokens:    t.int64("output_tokens"),
		reasoningTokens: t.int64("reasoning_tokens"),
		estimated:       t.int64("estimated"),
		costNUSD:        t.int64("cost_nusd"),
		unpriced:        t.int64("unpriced"),
		activeUS:        t.int64("active_us"),
		limitSteps:      t.int64("limit_steps"),
		limitTokens:     t.int64("limit_tokens"),
		limitCostNUSD:   t.int64("limit_cost_nusd"),
		limitSeconds:    t.int64("limit_seconds"),
	}
}

// Run adds a row of runs. Insert does so by itself for the entries of a segment.
func (b *Batch) Run(r *tables.Run) {
	c := row(b, &b.runs, "runs", newRunColumns)
	c.project.Append(r.Project)
	c.run.Append(r.Run)
	c.version.Append(r.Version)
	c.family.Append(r.Family)
	c.parent.Append(r.Parent)
	c.parentSeq.Append(r.ParentSeq)
	c.status.Append(r.Status)
	c.why.Append(r.Why)
	c.goal.Append(r.Goal)
	c.model.Append(r.Model)
	c.started.Append(r.Started)
	c.last.Append(r.Last)
	c.entries.Append(r.Entries)
	c.tip.Append(r.Tip)
	c.agents.Append(r.Agents)
	c.held.Append(r.Held)
	c.steps.Append(r.Steps)
	c.calls.Append(r.Calls)
	c.inputTokens.Append(r.InputTokens)
	c.cachedTokens.Append(r.CachedTokens)
	c.outputTokens.Append(r.OutputTokens)
	c.reasoningTokens.Append(r.ReasoningTokens)
	c.estimated.Append(r.Estimated)
	c.costNUSD.Append(r.CostNUSD)
	c.unpriced.Append(r.Unpriced)
	c.activeUS.Append(r.ActiveUS)
	c.limitSteps.Append(r.LimitSteps)
	c.limitTokens.Append(r.LimitTokens)
	c.limitCostNUSD.Append(r.LimitCostNUSD)
	c.limitSeconds.Append(r.LimitSeconds)
}
