import { expect, test } from "vitest";
import type { Span, SpanList } from "../api/words";
import { Gathered } from "./gathered";

const span = (id: string, duration?: number): Span => ({ id, name: id, kind: "internal", operation: "chat", start: "2026-01-01T00:00:00Z", offset_ns: 0, status: "unset", agent: "/", ...(duration === undefined ? {} : { duration_ns: duration }) });
const part = (spans: Span[], rest: Partial<SpanList>): SpanList => ({ spans, origin: "2026-01-01T00:00:00Z", open: 0, total: spans.length, journal: true, ...rest });

test("what is new takes the place of what was known, and nothing is there twice", () => {
  const g = new Gathered();
  g.take(part([span("run"), span("a", 1e6)], { more: true }));
  expect(g.entries).toBeUndefined(); // not all have come: nobody may ask for what came after
  g.take(part([span("b")], { entries: 10 }));
  expect([g.entries, g.size, g.moving]).toEqual([10, 3, true]);
  const shown = g.list();
  g.take(part([span("b", 2e6), span("run", 5e6), span("c", 1e6)], { entries: 20 }));
  expect(g.list().map((s) => [s.id, s.end])).toEqual([["run", 5], ["a", 1], ["b", 2], ["c", 1]]);
  expect([g.entries, g.moving]).toEqual([20, false]);
  expect(shown.map((s) => s.end)).toEqual([null, 1, null]);
});

test("a part of what is new does not count as all of it", () => {
  const g = new Gathered();
  g.take(part([span("a", 1e6)], { entries: 10 }));
  g.take(part([span("b", 1e6)], { more: true }));
  expect(g.entries).toBe(10);
});
