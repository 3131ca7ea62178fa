package otlp

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/protobuf/encoding/protowire"
)

// ReadMetrics reads an ExportMetricsServiceRequest into pdata's tree. Metrics are few beside spans,
// and their many forms are not worth a second reader; a census of the messages bounds, before, what
// the tree will take.
func ReadMetrics(request []byte, limits Limits) (pmetric.Metrics, error) {
	limits = limits.WithDefaults()
	limits.Values = min(limits.Values, limits.Objects)
	r := reader{limits: limits}
	if err := r.census(request, shapeMetrics, 0); err != nil {
		return pmetric.Metrics{}, err
	}
	req := pmetricotlp.NewExportRequest()
	if err := req.UnmarshalProto(request); err != nil {
		return pmetric.Metrics{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return req.Metrics(), nil
}

// shape is which fields of a message are messages themselves.
type shape struct {
	name   string
	fields map[int32]*shape
	record bool  // counts as a data point
	packed int32 // field of packed numbers that grow when they are read: one byte to eight
	nests  bool  // lists and maps of values: counts towards the depth
}

var shapeMetrics = metricShapes()

func metricShapes() *shape {
	value := &shape{name: "AnyValue"}
	attr := &shape{name: "KeyValue", fields: map[int32]*shape{2: value}}
	value.fields = map[int32]*shape{
		5: {name: "ArrayValue", nests: true, fields: map[int32]*shape{1: value}},
		6: {name: "KeyValueList", nests: true, fields: map[int32]*shape{1: attr}},
	}
	exemplar := &shape{name: "Exemplar", fields: map[int32]*shape{7: attr}}
	buckets := &shape{name: "Buckets", packed: 2}
	points := func(point *shape) *shape {
		point.record = true
		return &shape{name: "data", fields: map[int32]*shape{1: point}}
	}
	number := &shape{name: "NumberDataPoint", fields: map[int32]*shape{7: attr, 5: exemplar}}
	metric := &shape{name: "Metric", fields: map[int32]*shape{
		12: attr,
		5:  points(number),
		7:  points(number),
		9:  points(&shape{name: "HistogramDataPoint", fields: map[int32]*shape{9: attr, 8: exemplar}}),
		10: points(&shape{name: "ExponentialHistogramDataPoint", fields: map[int32]*shape{1: attr, 8: buckets, 9: buckets, 11: exemplar}}),
		11: points(&shape{name: "SummaryDataPoint", fields: map[int32]*shape{7: attr, 6: {name: "ValueAtQuantile"}}}),
	}}
	resource := &shape{name: "Resource", fields: map[int32]*shape{1: attr, 3: {name: "EntityRef"}}}
	scope := &shape{name: "InstrumentationScope", fields: map[int32]*shape{3: attr}}
	scopes := &shape{name: "ScopeMetrics", fields: map[int32]*shape{1: scope, 2: metric}}
	resources := &shape{name: "ResourceMetrics", fields: map[int32]*shape{1: resource, 2: scopes}}
	return &shape{name: "ExportMetricsServiceRequest", fields: map[int32]*shape{1: resources}}
}

// census counts the messages of a request without building them.
func (r *reader) census(message []byte, s *shape, depth int) error {
	if err := r.countShape(s); err != nil {
		return err
	}
	if s.nests {
		if depth++; depth > r.limits.Depth {
			return tooLarge("a value is nested deeper than %d lists and maps", r.limits.Depth)
		}
	}
	c := fields(message, s.name)
	for c.next() {
		if c.num == s.packed && c.typ == protowire.BytesType {
			r.values += len(c.data) / 16
		}
		inner := s.fields[c.num]
		if inner == nil {
			continue
		}
		if err := r.census(c.message(), inner, depth); c.err == nil && err != nil {
			return err
		}
	}
	return c.err
}

func (r *reader) countShape(s *shape) error {
	if s.record {
		return r.countRecord("data points")
	}
	return r.countValue()
}
