import { expect, test } from "vitest";
import type { Item } from "../api/words";
import { afterCalls, append, beforeTurn, begin, EMPTY, indexOfSeq, live, prepend } from "./story";

function item(seq: number, last = seq, type: Item["type"] = "event", agent = "/"): Item {
  return { seq, last, time: "2026-01-01T00:00:00Z", agent, type };
}
const seqs = (s: { items: readonly Item[] }) => s.items.map((i) => `${i.seq}–${i.last}`);

test("pages join without doubles", () => {
  const s = begin({ items: [item(10), item(12)], entries: 30, next: 13, previous: 10 });
  const more = append(s, { items: [item(12, 14), item(15)], entries: 30 });
  expect(seqs(more)).toEqual(["10–10", "12–14", "15–15"]);
  expect([more.previous, more.next]).toEqual([10, undefined]);
  const all = prepend(more, { items: [item(0), item(3)], entries: 30 });
  expect(seqs(all)).toEqual(["0–0", "3–3", "10–10", "12–14", "15–15"]);
  expect(all.previous).toBeUndefined();
});

test("what happens changes an item, but never with less than is known", () => {
  const s = begin({ items: [item(1, 9), item(4)], entries: 10 });
  expect(seqs(live(s, [item(1, 5), item(11)]))).toEqual(["1–9", "4–4", "11–11"]);
});

test("what happens beyond the end that is loaded is left for its page", () => {
  const s = begin({ items: [item(5), item(6)], entries: 99, next: 7, previous: 5 });
  expect(live(s, [item(90), item(2)])).toBe(s);
  expect(seqs(live(s, [item(6, 91)]))).toEqual(["5–5", "6–91"]);
  expect(live(EMPTY, [])).toBe(EMPTY);
});

test("an entry belongs to the item that begins at or before it", () => {
  const items = [item(0), item(4, 9), item(5), item(12)];
  expect([indexOfSeq(items, 0), indexOfSeq(items, 5), indexOfSeq(items, 11), indexOfSeq(items, 99)]).toEqual([0, 2, 2, 3]);
});

test("to do a call over is to do its agent's turn over", () => {
  const items = [item(0), item(4, 5, "turn"), item(6, 9, "call"), item(10, 11, "turn", "/1"), item(12, 13, "call")];
  expect(beforeTurn(items, 4)).toBe(3);
  expect(beforeTurn(items, 3)).toBe(9);
  expect(beforeTurn(items, 0)).toBe(0);
});

test("another result is told where all calls of the turn have ended", () => {
  const items = [item(0), item(4, 5, "turn"), item(6, 9, "call"), item(10, 11, "turn", "/1"), item(10, 14, "call", "/1"), item(12, 13, "call"), item(15), item(16, 17, "turn"), item(18, 20, "call")];
  expect(afterCalls(items, 2)).toBe(13);
  expect(afterCalls(items, 5)).toBe(13);
  expect(afterCalls(items, 4)).toBe(14);
  expect(afterCalls(items, 8)).toBe(20);
});
