-- Logs, metrics, intents, profiles and scores. Attributes, resource, scope and cut as in `spans`.
-- All are written by: collector. Partitions by month of arrival and exactly once, as `spans`.

-- logs: log records that are none of ours. ORDER BY: those of a trace are one range; those without one
-- follow by service and time.
CREATE TABLE IF NOT EXISTS logs
(
    project            LowCardinality(String),
    trace_id           UUID                  CODEC(ZSTD(1)),  -- zeros: none
    span_id            UInt64                CODEC(ZSTD(1)),
    time               DateTime64(9, 'UTC')  CODEC(Delta(8), ZSTD(1)),  -- 0: not known
    observed           DateTime64(9, 'UTC')  CODEC(Delta(8), ZSTD(1)),
    severity           Int32                 CODEC(ZSTD(1)),  -- of OTLP, 0 to 24
    severity_text      LowCardinality(String),
    event              LowCardinality(String),                -- LogRecord.EventName, or the attribute event.name
    service            LowCardinality(String),
    body               String                CODEC(ZSTD(1)),  -- value.go
    body_type          LowCardinality(String),                -- letter of value.go
    flags              UInt32                CODEC(ZSTD(1)),
    scope_name         LowCardinality(String),
    scope_version      LowCardinality(String),
    scope_attributes   LowCardinality(String),
    scope_schema       LowCardinality(String),
    scope_dropped      UInt32                CODEC(ZSTD(1)),
    resource           LowCardinality(String),
    resource_schema    LowCardinality(String),
    resource_dropped   UInt32                CODEC(ZSTD(1)),
    event_name         LowCardinality(String),                -- LogRecord.EventName as it was sent
    attributes         Map(LowCardinality(String), String)  CODEC(ZSTD(1)),
    attribute_types    LowCardinality(String),
    attributes_dropped UInt32                CODEC(ZSTD(1)),
    cut                Nested
    (
        place LowCardinality(String),  -- '' an attribute; body; resource, scope
        key   LowCardinality(String),
        size  UInt64,
        body  FixedString(32)
    )                                        CODEC(ZSTD(1)),
    seg                UUID                  CODEC(ZSTD(1)),
    received           DateTime64(3, 'UTC')  CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (project, trace_id, service, time)
SETTINGS non_replicated_deduplication_window = 10000;

-- metrics: one row a data point, of every kind. Columns that a kind does not have are 0 or empty, which
-- costs nearly nothing (sparse columns). ORDER BY: the series of a metric by time.
CREATE TABLE IF NOT EXISTS metrics
(
    project            LowCardinality(String),
    name               LowCardinality(String),
    kind               LowCardinality(String),                -- gauge, sum, histogram, exponential_histogram, summary
    unit               LowCardinality(String),
    description        LowCardinality(String),
    metadata           LowCardinality(String),                -- JSON; '' for none
    temporality        UInt8                 CODEC(ZSTD(1)),  -- 0 unspecified, 1 delta, 2 cumulative
    monotonic          UInt8                 CODEC(ZSTD(1)),
    service            LowCardinality(String),
    start              DateTime64(9, 'UTC')  CODEC(Delta(8), ZSTD(1)),  -- 0: not known
    time               DateTime64(9, 'UTC')  CODEC(Delta(8), ZSTD(1)),
    has                UInt8                 CODEC(ZSTD(1)),  -- 1 value is of value_int, 2 sum, 4 min, 8 max, 16 value
    value              Float64               CODEC(ZSTD(1)),  -- gauge and sum, ints too (rounded over 2^53)
    value_int          Int64                 CODEC(ZSTD(1)),
    count              UInt64                CODEC(ZSTD(1)),
    sum                Float64               CODEC(ZSTD(1)),
    min                Float64               CODEC(ZSTD(1)),
    max                Float64               CODEC(ZSTD(1)),
    bounds             Array(Float64)        CODEC(ZSTD(1)),  -- histogram: upper bounds, one fewer than counts
    counts             Array(UInt64)         CODEC(ZSTD(1)),
    scale              Int32                 CODEC(ZSTD(1)),  -- exponential histogram
    zero_count         UInt64                CODEC(ZSTD(1)),
    zero_threshold     Float64               CODEC(ZSTD(1)),
    positive_offset    Int32                 CODEC(ZSTD(1)),
    positive_counts    Array(UInt64)         CODEC(ZSTD(1)),
    negative_offset    Int32                 CODEC(ZSTD(1)),
    negative_counts    Array(UInt64)         CODEC(ZSTD(1)),
    quantiles          Array(Float64)        CODEC(ZSTD(1)),  -- summary
    quantile_values    Array(Float64)        CODEC(ZSTD(1)),
    exemplars          String                CODEC(ZSTD(1)),  -- JSON as of OTLP; '' for none
    flags              UInt32                CODEC(ZSTD(1)),
    scope_name         LowCardinality(String),
    scope_version      LowCardinality(String),
    scope_attributes   LowCardinality(String),
    scope_schema       LowCardinality(String),
    scope_dropped      UInt32                CODEC(ZSTD(1)),
    resource           LowCardinality(String),
    resource_schema    LowCardinality(String),
    resource_dropped   UInt32                CODEC(ZSTD(1)),
    attributes         Map(LowCardinality(String), String)  CODEC(ZSTD(1)),
    attribute_types    LowCardinality(String),
    seg                UUID                  CODEC(ZSTD(1)),
    received           DateTime64(3, 'UTC')  CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (project, name, service, time)
SETTINGS non_replicated_deduplication_window = 10000;

-- intents: what an intent's text means, as a vector. Computed by the collector off the path of acknowledgement
-- and made again where missing. Brute force over a query's scope is enough to some 100k of them.
CREATE TABLE IF NOT EXISTS intents
(
    project    LowCardinality(String),
    trace_id   UUID                  CODEC(ZSTD(1)),
    span_id    UInt64                CODEC(NONE),
    embedder   LowCardinality(String),                        -- model and version; vectors of two are not comparable
    time       DateTime64(9, 'UTC')  CODEC(Delta(8), ZSTD(1)),
    agent_path LowCardinality(String),
    tool       LowCardinality(String),
    source     LowCardinality(String),                        -- declared, derived
    text       String                CODEC(ZSTD(1)),
    distance   Float32               CODEC(ZSTD(1)),          -- cosine, to the run's goal; -1: not known
    vector     Array(Float32)        CODEC(NONE),
    seg        UUID                  CODEC(ZSTD(1)),
    received   DateTime64(3, 'UTC')  CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (project, trace_id, span_id, embedder)
SETTINGS non_replicated_deduplication_window = 10000;

-- profiles: one row for each stack and label set of a profile of a model's engine.
CREATE TABLE IF NOT EXISTS profiles
(
    project     LowCardinality(String),
    service     LowCardinality(String),
    type        LowCardinality(String),                       -- device_time, cpu, …
    unit        LowCardinality(String),                       -- nanoseconds, bytes, flops
    time        DateTime64(9, 'UTC')  CODEC(Delta(8), ZSTD(1)),
    duration_ns UInt64                CODEC(ZSTD(1)),
    trace_id    UUID                  CODEC(ZSTD(1)),         -- zeros: none
    span_id     UInt64                CODEC(ZSTD(1)),
    model       LowCardinality(String),
    device      LowCardinality(String),
    phase       LowCardinality(String),                       -- prefill, decode
    stack       Array(LowCardinality(String)) CODEC(ZSTD(1)), -- root first: model, layer, op
    value       Int64                 CODEC(ZSTD(1)),
    samples     UInt64                CODEC(ZSTD(1)),
    attributes  Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    attribute_types LowCardinality(String),
    seg         UUID                  CODEC(ZSTD(1)),
    received    DateTime64(3, 'UTC')  CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (project, service, type, time)
SETTINGS non_replicated_deduplication_window = 10000;

-- scores: what an evaluation or a person said of a run or a span.
CREATE TABLE IF NOT EXISTS scores
(
    project     LowCardinality(String),
    trace_id    UUID                  CODEC(ZSTD(1)),
    span_id     UInt64                CODEC(ZSTD(1)),         -- 0: of the run
    name        LowCardinality(String),
    time        DateTime64(9, 'UTC')  CODEC(Delta(8), ZSTD(1)),
    value       Float64               CODEC(ZSTD(1)),         -- NaN: a label only
    label       LowCardinality(String),
    explanation String                CODEC(ZSTD(1)),
    source      LowCardinality(String),                       -- evaluator, person, rule
    response_id String                CODEC(ZSTD(1)),
    attributes  Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    attribute_types LowCardinality(String),
    seg         UUID                  CODEC(ZSTD(1)),
    received    DateTime64(3, 'UTC')  CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (project, trace_id, name, time)
SETTINGS non_replicated_deduplication_window = 10000;
