package dialect

import (
	"encoding/base64"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"tachograph/collector/otlp"
	"tachograph/schemas/attr"
	"tachograph/schemas/tables"
)

// writeMetrics makes a row of each data point of a request.
func (w *Writer) writeMetrics(body []byte) error {
	all, err := otlp.ReadMetrics(body, unbounded)
	if err != nil {
		return err
	}
	for _, rm := range all.ResourceMetrics().All() {
		resource := rm.Resource()
		base := tables.Metric{Project: w.project, Service: serviceOf(resource), Resource: objectOf(resource.Attributes()),
			ResourceSchema: rm.SchemaUrl(), ResourceDropped: resource.DroppedAttributesCount()}
		for _, sm := range rm.ScopeMetrics().All() {
			s := sm.Scope()
			base.ScopeName, base.ScopeVersion, base.ScopeSchema = s.Name(), s.Version(), sm.SchemaUrl()
			base.ScopeAttributes, base.ScopeDropped = objectOf(s.Attributes()), s.DroppedAttributesCount()
			for _, m := range sm.Metrics().All() {
				w.writeMetric(base, m)
			}
		}
	}
	return nil
}

func serviceOf(r pcommon.Resource) string {
	if v, ok := r.Attributes().Get(attr.ServiceName); ok && v.Type() == pcommon.ValueTypeStr {
		return v.Str()
	}
	return ""
}

func (w *Writer) writeMetric(row tables.Metric, m pmetric.Metric) {
	row.Name, row.Unit, row.Description, row.Metadata = m.Name(), m.Unit(), m.Description(), objectOf(m.Metadata())
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		row.Kind = tables.MetricGauge
		w.numbers(row, m.Gauge().DataPoints())
	case pmetric.MetricTypeSum:
		row.Kind, row.Temporality = tables.MetricSum, uint8(m.Sum().AggregationTemporality())
		if m.Sum().IsMonotonic() {
			row.Monotonic = 1
		}
		w.numbers(row, m.Sum().DataPoints())
	case pmetric.MetricTypeHistogram:
		row.Kind, row.Temporality = tables.MetricHistogram, uint8(m.Histogram().AggregationTemporality())
		for _, p := range m.Histogram().DataPoints().All() {
			w.histogram(row, p)
		}
	case pmetric.MetricTypeExponentialHistogram:
		row.Kind, row.Temporality = tables.MetricExponential, uint8(m.ExponentialHistogram().AggregationTemporality())
		for _, p := range m.ExponentialHistogram().DataPoints().All() {
			w.exponential(row, p)
		}
	case pmetric.MetricTypeSummary:
		row.Kind = tables.MetricSummary
		for _, p := range m.Summary().DataPoints().All() {
			w.summary(row, p)
		}
	}
}

// point is what all data points have.
type point interface {
	StartTimestamp() pcommon.Timestamp
	Timestamp() pcommon.Timestamp
	Attributes() pcommon.Map
	Flags() pmetric.DataPointFlags
}

// common fills in what all points have, and says whether the point is dropped.
func (w *Writer) common(row *tables.Metric, p point) bool {
	row.Start, row.Time, row.Flags = int64(p.StartTimestamp()), int64(p.Timestamp()), uint32(p.Flags())
	row.Attributes = make([]tables.Attr, 0, p.Attributes().Len())
	for key, v := range p.Attributes().All() {
		text, letter := textOf(v)
		row.Attributes = append(row.Attributes, tables.Attr{Key: key, Value: text, Type: letter})
	}
	return w.skip()
}

func (w *Writer) numbers(row tables.Metric, points pmetric.NumberDataPointSlice) {
	for _, p := range points.All() {
		if w.common(&row, p) {
			continue
		}
		row.Has, row.Value, row.ValueInt = 0, 0, 0
		switch p.ValueType() {
		case pmetric.NumberDataPointValueTypeInt:
			row.Has, row.ValueInt, row.Value = tables.MetricHasValue|tables.MetricHasInt, p.IntValue(), float64(p.IntValue())
		case pmetric.NumberDataPointValueTypeDouble:
			row.Has, row.Value = tables.MetricHasValue, p.DoubleValue()
		}
		row.Exemplars = exemplars(p.Exemplars())
		w.rows.Metric(&row)
	}
}

func (w *Writer) histogram(row tables.Metric, p pmetric.HistogramDataPoint) {
	if w.common(&row, p) {
		return
	}
	row.Count, row.Bounds, row.Counts = p.Count(), p.ExplicitBounds().AsRaw(), p.BucketCounts().AsRaw()
	optional(&row, p)
	row.Exemplars = exemplars(p.Exemplars())
	w.rows.Metric(&row)
}

func (w *Writer) exponential(row tables.Metric, p pmetric.ExponentialHistogramDataPoint) {
	if w.common(&row, p) {
		return
	}
	row.Count, row.Scale, row.ZeroCount, row.ZeroThreshold = p.Count(), p.Scale(), p.ZeroCount(), p.ZeroThreshold()
	row.PositiveOffset, row.PositiveCounts = p.Positive().Offset(), p.Positive().BucketCounts().AsRaw()
	row.NegativeOffset, row.NegativeCounts = p.Negative().Offset(), p.Negative().BucketCounts().AsRaw()
	optional(&row, p)
	row.Exemplars = exemplars(p.Exemplars())
	w.rows.Metric(&row)
}

func (w *Writer) summary(row tables.Metric, p pmetric.SummaryDataPoint) {
	if w.common(&row, p) {
		return
	}
	row.Count, row.Sum, row.Has = p.Count(), p.Sum(), tables.MetricHasSum
	for _, q := range p.QuantileValues().All() {
		row.Quantiles = append(row.Quantiles, q.Quantile())
		row.QuantileValues = append(row.QuantileValues, q.Value())
	}
	w.rows.Metric(&row)
}

// optional fills in what a histogram may have.
func optional(row *tables.Metric, p interface {
	HasSum() bool
	Sum() float64
	HasMin() bool
	Min() float64
	HasMax() bool
	Max() float64
}) {
	row.Has = 0
	if p.HasSum() {
		row.Has, row.Sum = row.Has|tables.MetricHasSum, p.Sum()
	}
	if p.HasMin() {
		row.Has, row.Min = row.Has|tables.MetricHasMin, p.Min()
	}
	if p.HasMax() {
		row.Has, row.Max = row.Has|tables.MetricHasMax, p.Max()
	}
}

// exemplars are JSON as OTLP spells it.
func exemplars(all pmetric.ExemplarSlice) string {
	if all.Len() == 0 {
		return ""
	}
	b := []byte{'['}
	for i, e := range all.All() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"timeUnixNano":"`...)
		b = append(strconv.AppendUint(b, uint64(e.Timestamp()), 10), '"')
		if id := e.TraceID(); !id.IsEmpty() {
			b = append(append(append(b, `,"traceId":"`...), id.String()...), '"')
		}
		if id := e.SpanID(); !id.IsEmpty() {
			b = append(append(append(b, `,"spanId":"`...), id.String()...), '"')
		}
		switch e.ValueType() {
		case pmetric.ExemplarValueTypeInt:
			b = append(strconv.AppendInt(append(b, `,"asInt":"`...), e.IntValue(), 10), '"')
		case pmetric.ExemplarValueTypeDouble:
			b = tables.AppendJSONDouble(append(b, `,"asDouble":`...), e.DoubleValue())
		}
		if e.FilteredAttributes().Len() > 0 {
			b = appendPdataMap(append(b, `,"filteredAttributes":`...), e.FilteredAttributes())
		}
		b = append(b, '}')
	}
	return string(append(b, ']'))
}

// objectOf, textOf and what follows say of pdata's values what values.go says of ours.

func objectOf(m pcommon.Map) string {
	if m.Len() == 0 {
		return ""
	}
	return string(appendPdataMap(nil, m))
}

func appendPdataMap(b []byte, m pcommon.Map) []byte {
	b = append(b, '{')
	first := true
	for key, v := range m.All() {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendKey(b, key), ':')
		b = appendPdata(b, v)
	}
	return append(b, '}')
}

func textOf(v pcommon.Value) (string, byte) {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return v.Str(), tables.TypeString
	case pcommon.ValueTypeBool:
		return strconv.FormatBool(v.Bool()), tables.TypeBool
	case pcommon.ValueTypeInt:
		return strconv.FormatInt(v.Int(), 10), tables.TypeInt
	case pcommon.ValueTypeDouble:
		return string(tables.AppendDouble(nil, v.Double())), tables.TypeDouble
	case pcommon.ValueTypeBytes:
		return base64.StdEncoding.EncodeToString(v.Bytes().AsRaw()), tables.TypeBytes
	case pcommon.ValueTypeEmpty:
		return "", tables.TypeNone
	}
	return string(appendPdata(nil, v)), tables.TypeJSON
}

func appendPdata(b []byte, v pcommon.Value) []byte {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return tables.AppendJSONString(b, v.Str())
	case pcommon.ValueTypeBool:
		return strconv.AppendBool(b, v.Bool())
	case pcommon.ValueTypeInt:
		return strconv.AppendInt(b, v.Int(), 10)
	case pcommon.ValueTypeDouble:
		return tables.AppendJSONDouble(b, v.Double())
	case pcommon.ValueTypeBytes:
		return tables.AppendJSONBytes(b, v.Bytes().AsRaw())
	case pcommon.ValueTypeSlice:
		b = append(b, '[')
		for i, item := range v.Slice().All() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendPdata(b, item)
		}
		return append(b, ']')
	case pcommon.ValueTypeMap:
		only := ""
		for key := range v.Map().All() {
			only = key
		}
		if v.Map().Len() == 1 && tables.Wrapped(only) {
			return append(appendPdataMap(append(b, `{"$map":`...), v.Map()), '}')
		}
		return appendPdataMap(b, v.Map())
	}
	return append(b, "null"...)
}
