-- spans: one row for each span that has ended, of our own agents and of everybody else's.
-- Written by: collector, one spool segment as one block in one INSERT, never changed afterwards.
-- Read by: a run's page (all spans of a trace), lists of traces, dashboards by tool and model.
-- ORDER BY: one trace is one range, in the order of time. A list of traces and the numbers by minute
--   come from the two projections, which are parts of this table and so are exact whenever it is.
-- PARTITION BY: the month of arrival. It is constant in a segment, so that an insert makes one part
--   and is there as a whole or not at all (collector/store/exact); the start of a span is not.
-- TTL: none; a family is deleted by its trace ids.
-- Must serve: the 1,200 spans of a run in 25 ms among 1 M; p95 by tool in 60 ms; the list in 30 ms.
--
-- Numbers that were not sent are -1, never 0: absent is not zero.
-- Attributes: what a typed column holds exactly as it was sent is named in `lifted` (bits: Lifts in
--   spans.go) and stands nowhere else; all other pairs are in `attributes`, in the order they came,
--   duplicates too. `attribute_types` has one letter for each pair, or is empty if all are strings
--   (letters: value.go). resource and scope_attributes are JSON objects (value.go): they repeat
--   from row to row, and one dictionary entry is cheaper than a map in every row.
-- Values longer than MaxValue are cut; `cut` says which, how long they were and, where `content` has
--   the whole, under which name (space `attribute`).
CREATE TABLE IF NOT EXISTS spans
(
    project            LowCardinality(String),
    trace_id           UUID                          CODEC(ZSTD(1)),  -- of our own runs: the run's id
    span_id            UInt64                        CODEC(NONE),     -- big-endian, as it is written in hex
    parent_span_id     UInt64                        CODEC(ZSTD(1)),  -- 0: a root
    start              DateTime64(9, 'UTC')          CODEC(Delta(8), ZSTD(1)),
    duration_ns        UInt64                        CODEC(T64, ZSTD(1)),
    early_end_ns       Int64                         CODEC(ZSTD(1)),  -- the end as it was sent where it lies before the start (the duration is 0 then); else -1
    name               LowCardinality(String),
    kind               UInt8                         CODEC(ZSTD(1)),  -- of OTLP: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer
    flags              UInt32                        CODEC(ZSTD(1)),
    trace_state        String                        CODEC(ZSTD(1)),
    status_code        UInt8                         CODEC(ZSTD(1)),  -- 0 unset, 1 ok, 2 error
    status_message     String                        CODEC(ZSTD(1)),
    source             LowCardinality(String),                        -- tacho: a view of a journal of ours; otlp: all else
    service            LowCardinality(String),                        -- service.name of the resource, which has it too
    scope_name         LowCardinality(String),
    scope_version      LowCardinality(String),
    scope_attributes   LowCardinality(String),                        -- JSON; '' for none
    scope_schema       LowCardinality(String),                        -- schema URL
    scope_dropped      UInt32                        CODEC(ZSTD(1)),
    resource           LowCardinality(String),                        -- JSON; '' for none
    resource_schema    LowCardinality(String),
    resource_dropped   UInt32                        CODEC(ZSTD(1)),

    operation          LowCardinality(String),
    provider           LowCardinality(String),
    request_model      LowCardinality(String),
    response_model     LowCardinality(String),
    response_id        String                        CODEC(ZSTD(1)),
    conversation_id    String                        CODEC(ZSTD(1)),
    agent              LowCardinality(String),                        -- gen_ai.agent.name
    agent_id           LowCardinality(String),
    agent_path         LowCardinality(String),                        -- tacho.agent.path
    tool               LowCardinality(String),
    tool_call_id       String                        CODEC(ZSTD(1)),
    error_type         LowCardinality(String),
    finish_reasons     Array(LowCardinality(String)),
    input_tokens       Int64                         CODEC(T64, ZSTD(1)),  -- cached ones included, whatever the sender counts; -1 absent
    output_tokens      Int64                         CODEC(T64, ZSTD(1)),  -- reasoning included
    cached_tokens      Int64                         CODEC(ZSTD(1)),
    cache_write_tokens Int64                         CODEC(ZSTD(1)),
    reasoning_tokens   Int64                         CODEC(ZSTD(1)),
    cost_nusd          Int64                         CODEC(ZSTD(1)),  -- billionths of a US dollar; -1: no price is known
    entry_seq          Int64                         CODEC(ZSTD(1)),  -- the journal entry that opened it; -1: it has no journal
    step               Int64                         CODEC(ZSTD(1)),
    intent_text        String                        CODEC(ZSTD(1)),
    intent_source      LowCardinality(String),                        -- declared, derived
    tool_effect        LowCardinality(String),                        -- none, read, write, delete
    tool_scope         LowCardinality(String),                        -- workspace, machine, external
    policy_decision    LowCardinality(String),                        -- allow, deny, hold
    delta_files        Int64                         CODEC(ZSTD(1)),
    delta_added        Int64                         CODEC(ZSTD(1)),
    delta_removed      Int64                         CODEC(ZSTD(1)),

    lifted             UInt64                        CODEC(ZSTD(1)),
    attributes         Map(LowCardinality(String), String)  CODEC(ZSTD(1)),
    attribute_types    LowCardinality(String),
    attributes_dropped UInt32                        CODEC(ZSTD(1)),
    events             Nested
    (
        time       DateTime64(9, 'UTC'),
        name       LowCardinality(String),
        attributes Map(LowCardinality(String), String),
        types      LowCardinality(String),
        dropped    UInt32
    )                                                CODEC(ZSTD(1)),
    events_dropped     UInt32                        CODEC(ZSTD(1)),
    links              Nested
    (
        trace_id   UUID,
        span_id    UInt64,
        state      String,
        flags      UInt32,
        attributes Map(LowCardinality(String), String),
        types      LowCardinality(String),
        dropped    UInt32
    )                                                CODEC(ZSTD(1)),
    links_dropped      UInt32                        CODEC(ZSTD(1)),
    cut                Nested
    (
        place LowCardinality(String),  -- '' an attribute of the span; event N, link N, scope, resource; name, state, status
        key   LowCardinality(String),
        size  UInt64,                  -- bytes before the cut
        body  FixedString(32)          -- SHA-256 of the whole, its name in `content`; zeros: not kept
    )                                                CODEC(ZSTD(1)),

    seg                UUID                          CODEC(ZSTD(1)),  -- the spool segment it came with: the key of exactly-once
    received           DateTime64(3, 'UTC')          CODEC(Delta(8), ZSTD(1)),

    -- One row a trace: a list of them reads this and not the spans. Tokens and costs are those of model calls
    -- alone, since agents repeat the sums of theirs. No expression here may throw, whatever a span says: the
    -- insert would fail for ever. So times are added as integers, which wrap.
    PROJECTION traces
    (
        SELECT
            project, source, trace_id,
            count(), min(start), max(toUnixTimestamp64Nano(start) + toInt64(duration_ns)), max(received),
            minIf(tuple(start, service, name), parent_span_id = 0),
            min(tuple(start, service, name)),
            max(conversation_id), max(request_model),
            countIf(status_code = 2),
            countIf(operation IN ('chat', 'generate_content', 'text_completion')),
            countIf(operation = 'execute_tool'),
            countIf(operation IN ('invoke_agent', 'create_agent')),
            sumIf(input_tokens, operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND input_tokens > 0),
            sumIf(output_tokens, operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND output_tokens > 0),
            sumIf(cached_tokens, operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND cached_tokens > 0),
            sumIf(cost_nusd, operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND cost_nusd > 0),
            countIf(operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND cost_nusd < 0)
        GROUP BY project, source, trace_id
    ),

    -- Numbers by minute: tools, models, errors.
    PROJECTION by_minute
    (
        SELECT
            project, toStartOfMinute(start), operation, tool, request_model,
            count(), countIf(status_code = 2), sum(duration_ns), max(duration_ns),
            quantilesTDigest(0.5, 0.95, 0.99)(duration_ns),
            sumIf(input_tokens, input_tokens > 0), sumIf(output_tokens, output_tokens > 0),
            sumIf(cached_tokens, cached_tokens > 0), sumIf(cost_nusd, cost_nusd > 0)
        GROUP BY project, toStartOfMinute(start), operation, tool, request_model
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (project, trace_id, start, span_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- open_spans: what is known of a span while it runs: its start, and a heartbeat now and then.
-- Written by: collector, from the records tacho.span.start and tacho.span.alive. Hints: some may be missing.
-- Read by: the page of a run that is alive. A span that stands in `spans` is over, whatever this says.
-- ORDER BY: a trace is one range; rows of one span collapse to the one that was alive last.
-- TTL: two days: whoever has not been heard of for that long is not running.
CREATE TABLE IF NOT EXISTS open_spans
(
    project        LowCardinality(String),
    trace_id       UUID                  CODEC(ZSTD(1)),
    span_id        UInt64                CODEC(NONE),
    parent_span_id UInt64                CODEC(ZSTD(1)),
    start          DateTime64(9, 'UTC')  CODEC(Delta(8), ZSTD(1)),
    alive          DateTime64(9, 'UTC')  CODEC(Delta(8), ZSTD(1)),  -- when it was heard of last
    name           LowCardinality(String),
    kind           UInt8,
    service        LowCardinality(String),
    operation      LowCardinality(String),
    agent_path     LowCardinality(String),
    tool           LowCardinality(String),
    seg            UUID                  CODEC(ZSTD(1)),
    received       DateTime64(3, 'UTC')  CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(alive)
ORDER BY (project, trace_id, span_id)
TTL toDateTime(received) + INTERVAL 2 DAY
SETTINGS non_replicated_deduplication_window = 10000;
