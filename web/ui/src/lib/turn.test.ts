import { expect, test } from "vitest";
import type { Item } from "../api/words";
import { draftOf, turnOf } from "./turn";

const text = (t: string) => ({ text: t, size: t.length, cut: false });
const at = { time: "2026-01-01T00:00:00Z", agent: "/" };
const items: Item[] = [
  { ...at, seq: 5, last: 6, type: "turn", turn: { status: "failed", model: "m", attempt: 1 } },
  { ...at, seq: 7, last: 8, type: "turn", turn: { status: "ok", model: "m", attempt: 2, message: text("I will.") } },
  { ...at, seq: 9, last: 12, type: "call", call: { tool: "bash", index: 0, status: "ok", args: text('{"command":"ls"}'), intent: text("look"), effect: "read", scope: "workspace", idempotent: false, attempts: 1 } },
  { ...at, seq: 13, last: 14, type: "turn", turn: { status: "ok", model: "m", attempt: 1, message: text("Done.") } },
];

test("a draft is what the model said, the intent back among the arguments", () => {
  const { draft, turn, calls } = draftOf(items, 4);
  expect(turn?.seq).toBe(7);
  expect(calls.map((c) => c.seq)).toEqual([9]);
  expect(draft.content).toBe("I will.");
  expect(JSON.parse(draft.calls[0]?.args ?? "")).toEqual({ intent: "look", command: "ls" });
  expect(draftOf(items, 20).turn).toBeUndefined();
});

test("a draft becomes a turn, or says what is wrong", () => {
  expect(turnOf({ content: "x", calls: [{ tool: " bash ", args: '{"command":"ls"}' }] })).toEqual({ turn: { content: "x", calls: [{ tool: "bash", arguments: { command: "ls" } }] } });
  expect(turnOf({ content: "", calls: [{ tool: "bash", args: "{}" }] })).toEqual({ turn: { calls: [{ tool: "bash", arguments: {} }] } });
  for (const wrong of [{ content: " ", calls: [] }, { content: "x", calls: [{ tool: "", args: "{}" }] }, { content: "x", calls: [{ tool: "a", args: "{" }] }, { content: "x", calls: [{ tool: "a", args: "[1]" }] }]) {
    expect(turnOf(wrong)).toHaveProperty("wrong");
  }
});
