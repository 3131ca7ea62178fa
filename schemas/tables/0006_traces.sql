-- traces: the projection `traces` again, as `traces_by_root`, with what a list of other people's traces filters by:
-- how many roots have ended, and the status of the first. Without it a list would have to read spans to
-- say that a run failed, and an error that an agent dealt with would look like a failed run.
-- What is said at `traces` in 0001_spans.sql holds here too.
ALTER TABLE spans DROP PROJECTION IF EXISTS traces;
ALTER TABLE spans ADD PROJECTION IF NOT EXISTS traces_by_root
(
    SELECT
        project, source, trace_id,
        count(), min(start), max(toUnixTimestamp64Nano(start) + toInt64(duration_ns)), max(received),
        countIf(parent_span_id = 0),
        minIf(tuple(start, service, name, status_code), parent_span_id = 0),
        min(tuple(start, service, name, status_code)),
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
);
ALTER TABLE spans MATERIALIZE PROJECTION traces_by_root;
