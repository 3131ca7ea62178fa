// Package spans shows journals as OpenTelemetry traces: one trace a run, made of the run's entries
// and sent with OTLP by the Go SDK's exporters.
//
// A span is a view of entries that are durable already. Nothing that acts knows of spans: an
// [Exporter] follows a journal at its own pace, opens a span at one entry and closes it at another,
// and sends what is closed. It may lag, for ever if nobody receives; it never holds an agent up.
// It must never be read back: state is folded from entries alone.
//
// # Spans
//
//	invoke_agent PATH  agent: run.started or agent.spawned … run.ended or agent.ended
//	├ plan PATH        step: model.asked … its last call proposed, or the next step
//	│ └ chat MODEL     one question: model.asked … model.answered, lost and failed ones too
//	├ execute_tool T   call.started (call.proposed if it never started) … call.ended
//	└ invoke_agent …   a sub-agent
//
// What has no duration (holds, approvals, snapshots, rollbacks, pauses, recovery) is an event of the
// call's span, or of the agent's. A span that something other than its own end closes (a rollback,
// the end of the run) has the error type [ErrorRolledBack] or [ErrorRunEnded].
// A fork's root span links to that of the run it comes from. An agent that a rollback brings
// back to life after its span was sent gets a second span, which links to the first.
//
// # Identity
//
// The trace id is the 16 bytes of the run's id. A span's id is
//
//	first 8 bytes of SHA-256("tacho-span-v1\n" ‖ run, 16 bytes ‖ seq, 8 bytes big-endian ‖ name)
//
// where seq is the entry that opened it (of a call: call.proposed) and name is "plan", "chat",
// "execute_tool", or "invoke_agent " and the agent's path. Should the eight bytes be zero, the next
// eight that are not are taken. All that a span says follows from entries and the content they
// name, times included; no clock, no process and no random number has a part in it.
//
// # Delivery
//
// At least once. After a request has succeeded, the run's cursor file says so; whoever follows the
// run next projects its entries from 0 and sends only what closes after the cursor. A process that
// is killed between the two sends the same spans again: equal ids, equal bytes. A receiver that
// keeps the first of (trace id, span id) therefore has each span once, and one that was sent every
// span of an ended run has every parent. What differs between two senders of one span is the
// resource, if OTEL_RESOURCE_ATTRIBUTES was changed in between, and content that was erased.
//
// While nobody receives, the exporter does not read on: at most one batch of a run is in memory, and
// the journal is the queue. A request that is refused is sent again, in smaller pieces if need be, for
// as long as the process lives. Where a receiver accepts a request but rejects spans in it
// (partial success), OTLP forbids to send them again: that is logged.
//
// The cursor file is DIR/<run>.cursor, one line:
//
//	tacho-spans-1 <run> <next> <hash of the entry before next> open|ended
//
// A file that is missing, damaged, or of another journal (the hash differs) means that nothing was
// sent. It is replaced by rename and not synced: to lose it costs sending spans again.
//
// # Open spans
//
// A span is sent when it has ended. Until then log records show it (schemas/attr: tacho.span.start
// when it is first seen, tacho.span.alive every ten seconds). They are hints: sent once, from
// memory, by a goroutine that nobody waits for, and dropped where they are not taken; no cursor
// knows of them. A new process says again what is open. Nothing says that a span has ended but the
// span itself, so readers drop what is shown as open once it is there, and doubt what has not been alive
// for some heartbeats.
//
// # Limits
//
// The SDK's limits are off. A value of content is cut at 192 KiB, the texts of an event at 512 bytes, a list at 256
// items, a span's events at the newest 512; the span then says so in tacho.cut or
// tacho.events_dropped. So a span stays under 1 MiB and a request, with at most
// 256 spans, under 3 MiB, which ordinary receivers take. OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT and
// OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT tighten the first.
//
// # Environment
//
// environment.go and endpoint.go list the variables. If none of them asks for traces, an Exporter does nothing.
//
// Read first: projector.go, then agent.go, turn.go and call.go (what each entry does to the open
// spans and what a closed one says), follower.go (reading, sending, the cursor), open.go (open spans).
// sdk.go is where the SDK comes in.
package spans
