-- Spans of somebody else's trace by their ids, with everything that was stored of them: first the columns of
-- trace_spans.sql. The long columns are read only where a span is found.
SELECT trace_id, span_id, parent_span_id, toUnixTimestamp64Nano(start) AS at, duration_ns, name, kind, status_code, status_message, service,
    operation, request_model, response_model, conversation_id, agent, agent_path, tool, tool_call_id, error_type, finish_reasons,
    input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost_nusd, entry_seq, step,
    intent_text, intent_source, tool_effect, tool_scope, policy_decision, delta_files, delta_added, delta_removed,
    provider, response_id, agent_id, scope_name, scope_version, resource, lifted,
    mapKeys(attributes), mapValues(attributes), attribute_types,
    arrayMap(x -> toUnixTimestamp64Nano(x), events.time), events.name, arrayMap(x -> mapKeys(x), events.attributes),
    arrayMap(x -> mapValues(x), events.attributes), events.types,
    links.trace_id, links.span_id, arrayMap(x -> mapKeys(x), links.attributes), arrayMap(x -> mapValues(x), links.attributes), links.types,
    cut.place, cut.key, cut.size, cut.body
FROM spans
WHERE project = {project:String} AND trace_id = {trace:UUID} AND source = 'otlp' AND span_id IN {spans:Array(UInt64)}
ORDER BY start, span_id
LIMIT 1 BY start, span_id
