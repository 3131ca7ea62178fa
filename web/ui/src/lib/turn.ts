// The model's turn that a fork gives: how it is edited, and what is wrong with what was written.
import type { GivenTurn, Item } from "../api/words";

export interface CallDraft {
  tool: string;
  /** A JSON object, as text. */
  args: string;
}

export interface TurnDraft {
  content: string;
  calls: CallDraft[];
}

/** What the model said, from the transcript's items; texts that are cut are named, for they must be read whole. */
export function draftOf(items: readonly Item[], seq: number): { draft: TurnDraft; turn: Item | undefined; calls: Item[] } {
  const at = items.findIndex((i) => i.type === "turn" && i.seq > seq && (i.turn?.status === "ok" || i.turn?.status === "given"));
  const turn = items[at];
  if (!turn) return { draft: { content: "", calls: [] }, turn: undefined, calls: [] };
  const calls: Item[] = [];
  for (const item of items.slice(at + 1)) {
    if (item.agent !== turn.agent) continue;
    if (item.type === "turn") break;
    if (item.call && item.call.index >= 0) calls.push(item);
  }
  return { draft: { content: turn.turn?.message?.text ?? "", calls: calls.map((c) => ({ tool: c.call?.tool ?? "", args: argsOf(c, c.call?.args.text ?? "{}") })) }, turn, calls };
}

/** Arguments as the tool takes them: the intent is put back in, first. */
export function argsOf(item: Item, text: string): string {
  try {
    const args: unknown = JSON.parse(text);
    if (typeof args !== "object" || args === null || Array.isArray(args)) return text;
    return JSON.stringify({ intent: item.call?.intent?.text ?? "", ...args }, null, 2);
  } catch {
    return text;
  }
}

/** The turn to send, or what is wrong with the draft. */
export function turnOf(draft: TurnDraft): { turn: GivenTurn } | { wrong: string } {
  if (draft.content.trim() === "" && draft.calls.length === 0) return { wrong: "A turn needs a text or a call." };
  const calls: NonNullable<GivenTurn["calls"]> = [];
  for (const [i, call] of draft.calls.entries()) {
    if (call.tool.trim() === "") return { wrong: `Call ${i + 1} names no tool.` };
    let args: unknown;
    try {
      args = JSON.parse(call.args);
    } catch (cause) {
      return { wrong: `The arguments of call ${i + 1} are no JSON: ${cause instanceof Error ? cause.message : String(cause)}` };
    }
    if (typeof args !== "object" || args === null || Array.isArray(args)) return { wrong: `The arguments of call ${i + 1} must be a JSON object.` };
    calls.push({ tool: call.tool.trim(), arguments: { ...args } });
  }
  return { turn: { ...(draft.content === "" ? {} : { content: draft.content }), ...(calls.length > 0 ? { calls } : {}) } };
}
