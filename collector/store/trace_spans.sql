-- A page of the spans of somebody else's trace, by start, without what is long: the order of the primary key, so that a
-- page reads hardly more than itself. A span that a sender sent again after more than a day is one row here.
SELECT trace_id, span_id, parent_span_id, toUnixTimestamp64Nano(start) AS at, duration_ns, name, kind, status_code, status_message, service,
    operation, request_model, response_model, conversation_id, agent, agent_path, tool, tool_call_id, error_type, finish_reasons,
    input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost_nusd, entry_seq, step,
    intent_text, intent_source, tool_effect, tool_scope, policy_decision, delta_files, delta_added, delta_removed
FROM spans
WHERE project = {project:String} AND trace_id = {trace:UUID} AND source = 'otlp'
    AND start >= fromUnixTimestamp64Nano({after:Int64}) AND (at, span_id) > ({after:Int64}, {after_span:UInt64})
    AND (empty({operations:Array(String)}) OR has({operations:Array(String)}, lower(hex(operation))))
ORDER BY start, span_id
LIMIT 1 BY start, span_id
LIMIT {skip:UInt32}, {limit:UInt32}
