// From the contract's spans to the timeline's.
import type { Span as WireSpan } from "../api/words";
import type { Kind, Span } from "./timeline";

const KINDS: Record<string, Kind> = {
  invoke_agent: "agent", invoke_workflow: "agent", create_agent: "agent", agent_step: "plan", plan: "plan",
  chat: "chat", generate_content: "chat", text_completion: "chat", embeddings: "chat", execute_tool: "tool",
};

export function kindOf(operation: string): Kind {
  return KINDS[operation] ?? "other";
}

export function spanOf(w: WireSpan): Span {
  const start = w.offset_ns / 1e6;
  return {
    id: w.id,
    parent: w.parent ?? null,
    name: w.name,
    kind: kindOf(w.operation),
    start,
    end: w.duration_ns === undefined ? null : start + w.duration_ns / 1e6,
    failed: w.status === "error",
    agent: w.agent,
    seq: w.seq ?? null,
    note: w.intent ? w.intent.slice(0, 200) : w.step !== undefined && w.operation === "plan" ? `step ${w.step}` : "",
  };
}

/** Counts by kind, and the time that spans of a kind took in all; for the legend. */
export function sums(spans: readonly Span[]): Record<Kind, { count: number; ms: number }> {
  const out: Record<Kind, { count: number; ms: number }> = {
    agent: { count: 0, ms: 0 }, plan: { count: 0, ms: 0 }, chat: { count: 0, ms: 0 }, tool: { count: 0, ms: 0 }, other: { count: 0, ms: 0 },
  };
  for (const s of spans) {
    out[s.kind].count++;
    if (s.end !== null) out[s.kind].ms += s.end - s.start;
  }
  return out;
}
