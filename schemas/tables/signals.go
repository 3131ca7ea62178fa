package tables

// Log is a row of logs.
type Log struct {
	Project         string   `ch:"project"`
	TraceID         [16]byte `ch:"trace_id"`
	SpanID          uint64   `ch:"span_id"`
	Time            int64    `ch:"time"`
	Observed        int64    `ch:"observed"`
	Severity        int32    `ch:"severity"`
	SeverityText    string   `ch:"severity_text"`
	Event           string   `ch:"event"`
	Service         string   `ch:"service"`
	Body            string   `ch:"body"`
	BodyType        string   `ch:"body_type"`
	Flags           uint32   `ch:"flags"`
	ScopeName       string   `ch:"scope_name"`
	ScopeVersion    string   `ch:"scope_version"`
	ScopeAttributes string   `ch:"scope_attributes"`
	ScopeSchema     string   `ch:"scope_schema"`
	ScopeDropped    uint32   `ch:"scope_dropped"`
	Resource        string   `ch:"resource"`
	ResourceSchema  string   `ch:"resource_schema"`
	ResourceDropped uint32   `ch:"resource_dropped"`
	EventName       string   `ch:"event_name"`
	Attributes      []Attr   `ch:"attributes"` // and attribute_types
	AttrsDropped    uint32   `ch:"attributes_dropped"`
	Cut             []Cut    `ch:"cut"`
}

// Kinds of metrics.
const (
	MetricGauge       = "gauge"
	MetricSum         = "sum"
	MetricHistogram   = "histogram"
	MetricExponential = "exponential_histogram"
	MetricSummary     = "summary"
)

// Bits of Metric.Has.
const (
	MetricHasInt   = 1  // Value is that of ValueInt
	MetricHasSum   = 2  // histograms without negative values have one
	MetricHasMin   = 4  //
	MetricHasMax   = 8  //
	MetricHasValue = 16 // gauge and sum: unless OTLP's flag "no recorded value" is set
)

// Metric is a row of metrics: one data point.
type Metric struct {
	Project         string    `ch:"project"`
	Name            string    `ch:"name"`
	Kind            string    `ch:"kind"`
	Unit            string    `ch:"unit"`
	Description     string    `ch:"description"`
	Metadata        string    `ch:"metadata"`
	Temporality     uint8     `ch:"temporality"`
	Monotonic       uint8     `ch:"monotonic"`
	Service         string    `ch:"service"`
	Start           int64     `ch:"start"`
	Time            int64     `ch:"time"`
	Has             uint8     `ch:"has"`
	Value           float64   `ch:"value"`
	ValueInt        int64     `ch:"value_int"`
	Count           uint64    `ch:"count"`
	Sum             float64   `ch:"sum"`
	Min             float64   `ch:"min"`
	Max             float64   `ch:"max"`
	Bounds          []float64 `ch:"bounds"`
	Counts          []uint64  `ch:"counts"`
	Scale           int32     `ch:"scale"`
	ZeroCount       uint64    `ch:"zero_count"`
	ZeroThreshold   float64   `ch:"zero_threshold"`
	PositiveOffset  int32     `ch:"positive_offset"`
	PositiveCounts  []uint64  `ch:"positive_counts"`
	NegativeOffset  int32     `ch:"negative_offset"`
	NegativeCounts  []uint64  `ch:"negative_counts"`
	Quantiles       []float64 `ch:"quantiles"`
	QuantileValues  []float64 `ch:"quantile_values"`
	Exemplars       string    `ch:"exemplars"`
	Flags           uint32    `ch:"flags"`
	ScopeName       string    `ch:"scope_name"`
	ScopeVersion    string    `ch:"scope_version"`
	ScopeAttributes string    `ch:"scope_attributes"`
	ScopeSchema     string    `ch:"scope_schema"`
	ScopeDropped    uint32    `ch:"scope_dropped"`
	Resource        string    `ch:"resource"`
	ResourceSchema  string    `ch:"resource_schema"`
	ResourceDropped uint32    `ch:"resource_dropped"`
	Attributes      []Attr    `ch:"attributes"` // and attribute_types
}

// Intent is a row of intents.
type Intent struct {
	Project   string    `ch:"project"`
	TraceID   [16]byte  `ch:"trace_id"`
	SpanID    uint64    `ch:"span_id"`
	Embedder  string    `ch:"embedder"`
	Time      int64     `ch:"time"`
	AgentPath string    `ch:"agent_path"`
	Tool      string    `ch:"tool"`
	Source    string    `ch:"source"`
	Text      string    `ch:"text"`
	Distance  float32   `ch:"distance"`
	Vector    []float32 `ch:"vector"`
}

// Profile is a row of profiles.
type Profile struct {
	Project    string   `ch:"project"`
	Service    string   `ch:"service"`
	Type       string   `ch:"type"`
	Unit       string   `ch:"unit"`
	Time       int64    `ch:"time"`
	DurationNS uint64   `ch:"duration_ns"`
	TraceID    [16]byte `ch:"trace_id"`
	SpanID     uint64   `ch:"span_id"`
	Model      string   `ch:"model"`
	Device     string   `ch:"device"`
	Phase      string   `ch:"phase"`
	Stack      []string `ch:"stack"`
	Value      int64    `ch:"value"`
	Samples    uint64   `ch:"samples"`
	Attributes []Attr   `ch:"attributes"` // and attribute_types
}

// Score is a row of scores.
type Score struct {
	Project     string   `ch:"project"`
	TraceID     [16]byte `ch:"trace_id"`
	SpanID      uint64   `ch:"span_id"`
	Name        string   `ch:"name"`
	Time        int64    `ch:"time"`
	Value       float64  `ch:"value"`
	Label       string   `ch:"label"`
	Explanation string   `ch:"explanation"`
	Source      string   `ch:"source"`
	ResponseID  string   `ch:"response_id"`
	Attributes  []Attr   `ch:"attributes"` // and attribute_types
}
