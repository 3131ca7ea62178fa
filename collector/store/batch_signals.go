package store

import (
	"tachograph/collector/store/native"
	"tachograph/schemas/tables"
)

type logColumns struct {
	project, severityText, event, service, bodyType, eventName *native.LowCard
	traceID                                                    *native.UUID
	spanID                                                     *native.UInt64
	time, observed                                             *native.Int64
	severity                                                   *native.Int32
	body                                                       *native.String
	flags, attrsDropped                                        *native.UInt32
	origin                                                     origin
	attributes                                                 attributes
	cut                                                        cuts
}

func newLogColumns(t *block) *logColumns {
	return &logColumns{
		project:      t.lowCard("project"),
		traceID:      t.uuid("trace_id"),
		spanID:       t.uint64("span_id"),
		time:         t.nanos("time"),
		observed:     t.nanos("observed"),
		severity:     t.int32("severity"),
		severityText: t.lowCard("severity_text"),
		event:        t.lowCard("event"),
		service:      t.lowCard("service"),
		body:         t.text("body"),
		bodyType:     t.lowCard("body_type"),
		flags:        t.uint32("flags"),
		origin:       t.origin(),
		eventName:    t.lowCard("event_name"),
		attributes:   t.attributes(),
		attrsDropped: t.uint32("attributes_dropped"),
		cut:          t.cuts(),
	}
}

// Log adds a row of logs.
func (b *Batch) Log(r *tables.Log) {
	c := row(b, &b.logs, "logs", newLogColumns)
	c.project.Append(r.Project)
	c.traceID.Append(r.TraceID)
	c.spanID.Append(r.SpanID)
	c.time.Append(r.Time)
	c.observed.Append(r.Observed)
	c.severity.Append(r.Severity)
	c.severityText.Append(r.SeverityText)
	c.event.Append(r.Event)
	c.service.Append(r.Service)
	c.body.Append(r.Body)
	c.bodyType.Append(r.BodyType)
	c.flags.Append(r.Flags)
	c.origin.append(r.ScopeName, r.ScopeVersion, r.ScopeAttributes, r.ScopeSchema, r.ScopeDropped, r.Resource, r.ResourceSchema, r.ResourceDropped)
	c.eventName.Append(r.EventName)
	c.attributes.append(r.Attributes)
	c.attrsDropped.Append(r.AttrsDropped)
	c.cut.append(r.Cut)
}

type metricColumns struct {
	project, name, kind, unit, description, metadata, service *native.LowCard
	temporality, monotonic, has                               *native.UInt8
	start, time, valueInt                                     *native.Int64
	value, sum, min, max, zeroThreshold                       *native.Float64
	count, zeroCount                                          *native.UInt64
	bounds, quantiles, quantileValues                         *native.Array[*native.Float64]
	counts, positiveCounts, negativeCounts                    *native.Array[*native.UInt64]
	scale, positiveOffset, negativeOffset                     *native.Int32
	exemplars                                                 *native.String
	flags                                                     *native.UInt32
	origin                                                    origin
	attributes                                                attributes
}

func newMetricColumns(t *block) *metricColumns {
	return &metricColumns{
		project:        t.lowCard("project"),
		name:           t.lowCard("name"),
		kind:           t.lowCard("kind"),
		unit:           t.lowCard("unit"),
		description:    t.lowCard("description"),
		metadata:       t.lowCard("metadata"),
		temporality:    t.uint8("temporality"),
		monotonic:      t.uint8("monotonic"),
		service:        t.lowCard("service"),
		start:          t.nanos("start"),
		time:           t.nanos("time"),
		has:            t.uint8("has"),
		value:          t.float64("value"),
		valueInt:       t.int64("value_int"),
		count:          t.uint64("count"),
		sum:            t.float64("sum"),
		min:            t.float64("min"),
		max:            t.float64("max"),
		bounds:         column(t, "bounds", native.NewArray(native.NewFloat64())),
		counts:         column(t, "counts", native.NewArray(native.NewUInt64())),
		scale:          t.int32("scale"),
		zeroCount:      t.uint64("zero_count"),
		zeroThreshold:  t.float64("zero_threshold"),
		positiveOffset: t.int32("positive_offset"),
		positiveCounts: column(t, "positive_counts", native.NewArray(native.NewUInt64())),
		negativeOffset: t.int32("negative_offset"),
		negativeCounts: column(t, "negative_counts", native.NewArray(native.NewUInt64())),
		quantiles:      column(t, "quantiles", native.NewArray(native.NewFloat64())),
		quantileValues: column(t, "quantile_values", native.NewArray(native.NewFloat64())),
		exemplars:      t.text("exemplars"),
		flags:          t.uint32("flags"),
		origin:         t.origin(),
		attributes:     t.attributes(),
	}
}

// Metric adds a row of metrics.
func (b *Batch) Metric(r *tables.Metric) {
	c := row(b, &b.metrics, "metrics", newMetricColumns)
	c.project.Append(r.Project)
	c.name.Append(r.Name)
	c.kind.Append(r.Kind)
	c.unit.Append(r.Unit)
	c.description.Append(r.Description)
	c.metadata.Append(r.Metadata)
	c.temporality.Append(r.Temporality)
	c.monotonic.Append(r.Monotonic)
	c.service.Append(r.Service)
	c.start.Append(r.Start)
	c.time.Append(r.Time)
	c.has.Append(r.Has)
	c.value.Append(r.Value)
	c.valueInt.Append(r.ValueInt)
	c.count.Append(r.Count)
	c.sum.Append(r.Sum)
	c.min.Append(r.Min)
	c.max.Append(r.Max)
	appendAll(c.bounds, r.Bounds)
	appendAll(c.counts, r.Counts)
	c.scale.Append(r.Scale)
	c.zeroCount.Append(r.ZeroCount)
	c.zeroThreshold.Append(r.ZeroThreshold)
	c.positiveOffset.Append(r.PositiveOffset)
	appendAll(c.positiveCounts, r.PositiveCounts)
	c.negativeOffset.Append(r.NegativeOffset)
	appendAll(c.negativeCounts, r.NegativeCounts)
	appendAll(c.quantiles, r.Quantiles)
	appendAll(c.quantileValues, r.QuantileValues)
	c.exemplars.Append(r.Exemplars)
	c.flags.Append(r.Flags)
	c.origin.append(r.ScopeName, r.ScopeVersion, r.ScopeAttributes, r.ScopeSchema, r.ScopeDropped, r.Resource, r.ResourceSchema, r.ResourceDropped)
	c.attributes.append(r.Attributes)
}

type intentColumns struct {
	project, embedder, agentPath, tool, source *native.LowCard
	traceID                                    *native.UUID
	spanID                                     *native.UInt64
	time                                       *native.Int64
	text                                       *native.String
	distance                                   *native.Float32
	vector                                     *native.Array[*native.Float32]
}

func newIntentColumns(t *block) *intentColumns {
	return &intentColumns{
		project:   t.lowCard("project"),
		traceID:   t.uuid("trace_id"),
		spanID:    t.uint64("span_id"),
		embedder:  t.lowCard("embedder"),
		time:      t.nanos("time"),
		agentPath: t.lowCard("agent_path"),
		tool:      t.lowCard("tool"),
		source:    t.lowCard("source"),
		text:      t.text("text"),
		distance:  column(t, "distance", native.NewFloat32()),
		vector:    column(t, "vector", native.NewArray(native.NewFloat32())),
	}
}

// Intent adds a row of intents.
func (b *Batch) Intent(r *tables.Intent) {
	c := row(b, &b.intents, "intents", newIntentColumns)
	c.project.Append(r.Project)
	c.traceID.Append(r.TraceID)
	c.spanID.Append(r.SpanID)
	c.embedder.Append(r.Embedder)
	c.time.Append(r.Time)
	c.agentPath.Append(r.AgentPath)
	c.tool.Append(r.Tool)
	c.source.Append(r.Source)
	c.text.Append(r.Text)
	c.distance.Append(r.Distance)
	appendAll(c.vector, r.Vector)
}

type profileColumns struct {
	project, service, typ, unit, model, device, phase *native.LowCard
	time, value                                       *native.Int64
	durationNS, spanID, samples                       *native.UInt64
	traceID                                           *native.UUID
	stack                                             *native.Array[*native.LowCard]
	attributes                                        attributes
}

func newProfileColumns(t *block) *profileColumns {
	return &profileColumns{
		project:    t.lowCard("project"),
		service:    t.lowCard("service"),
		typ:        t.lowCard("type"),
		unit:       t.lowCard("unit"),
		time:       t.nanos("time"),
		durationNS: t.uint64("duration_ns"),
		traceID:    t.uuid("trace_id"),
		spanID:     t.uint64("span_id"),
		model:      t.lowCard("model"),
		device:     t.lowCard("device"),
		phase:      t.lowCard("phase"),
		stack:      column(t, "stack", native.NewArray(native.NewLowCard())),
		value:      t.int64("value"),
		samples:    t.uint64("samples"),
		attributes: t.attributes(),
	}
}

// Profile adds a row of profiles.
func (b *Batch) Profile(r *tables.Profile) {
	c := row(b, &b.profiles, "profiles", newProfileColumns)
	c.project.Append(r.Project)
	c.service.Append(r.Service)
	c.typ.Append(r.Type)
	c.unit.Append(r.Unit)
	c.time.Append(r.Time)
	c.durationNS.Append(r.DurationNS)
	c.traceID.Append(r.TraceID)
	c.spanID.Append(r.SpanID)
	c.model.Append(r.Model)
	c.device.Append(r.Device)
	c.phase.Append(r.Phase)
	appendAll(c.stack, r.Stack)
	c.value.Append(r.Value)
	c.samples.Append(r.Samples)
	c.attributes.append(r.Attributes)
}

type scoreColumns struct {
	project, name, label, source *native.LowCard
	traceID                      *native.UUID
	spanID                       *native.UInt64
	time                         *native.Int64
	value                        *native.Float64
	explanation, responseID      *native.String
	attributes                   attributes
}

func newScoreColumns(t *block) *scoreColumns {
	return &scoreColumns{
		project:     t.lowCard("project"),
		traceID:     t.uuid("trace_id"),
		spanID:      t.uint64("span_id"),
		name:        t.lowCard("name"),
		time:        t.nanos("time"),
		value:       t.float64("value"),
		label:       t.lowCard("label"),
		explanation: t.text("explanation"),
		source:      t.lowCard("source"),
		responseID:  t.text("response_id"),
		attributes:  t.attributes(),
	}
}

// Score adds a row of scores.
func (b *Batch) Score(r *tables.Score) {
	c := row(b, &b.scores, "scores", newScoreColumns)
	c.project.Append(r.Project)
	c.traceID.Append(r.TraceID)
	c.spanID.Append(r.SpanID)
	c.name.Append(r.Name)
	c.time.Append(r.Time)
	c.value.Append(r.Value)
	c.label.Append(r.Label)
	c.explanation.Append(r.Explanation)
	c.source.Append(r.Source)
	c.responseID.Append(r.ResponseID)
	c.attributes.append(r.Attributes)
}
