-- traces: the projection once more, as `trace_list`, with fewer aggregates: what a list costs is the planning of
-- its question, and each aggregate adds to it. One minimum says who tells of a trace: its first root, or while no
-- root has ended its oldest span, since false comes before true.
-- What is said at `traces` in 0001_spans.sql holds here too.
ALTER TABLE spans DROP PROJECTION IF EXISTS traces_by_root;
ALTER TABLE spans ADD PROJECTION IF NOT EXISTS trace_list
(
    SELECT
        project, source, trace_id,
        count(), min(start), max(toUnixTimestamp64Nano(start) + toInt64(duration_ns)), max(received),
        min(tuple(parent_span_id != 0, start, service, name, status_code)),
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
ALTER TABLE spans MATERIALIZE PROJECTION trace_list;
