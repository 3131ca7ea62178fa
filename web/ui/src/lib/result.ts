// The results of calls that a fork tells its model: what may be given, and what is wrong with it.
import type { AgentCall, ResultToGive } from "../api/words";
import { bytes } from "./format";

/** At most so many bytes of one result: the model is told all of it (runner/given.go). */
export const MAX_RESULT = 1 << 20;

export interface ResultDraft {
  call: number;
  /** As it is recorded; undefined while nothing is: the call has not ended. */
  was: string | undefined;
  /** What is told instead; undefined: it stays. */
  text: string | undefined;
}

/** The calls whose results a fork can give: those of the newest answer. The spec's check, and what a fork has from its parent, are none. */
export function givable(calls: readonly AgentCall[]): AgentCall[] {
  return calls.filter((c) => c.call >= 0 && c.index >= 0);
}

export function sizeOf(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** The results to send, or what is wrong with the drafts. */
export function resultsOf(drafts: readonly ResultDraft[]): { results: ResultToGive[] } | { wrong: string } {
  const results: ResultToGive[] = [];
  for (const { call, was, text } of drafts) {
    if (text === undefined || text === was) continue;
    const size = sizeOf(text);
    if (size > MAX_RESULT) return { wrong: `The result of call ${call} has ${bytes(size)}; at most ${bytes(MAX_RESULT)} are taken, because the model is told all of it.` };
    results.push({ call, text });
  }
  return results.length === 0 ? { wrong: "Nothing is different yet: change the result of a call." } : { results };
}
