import { expect, test } from "vitest";
import { density, forest, pan, ticks, visibleRows, zoom, type Span } from "./timeline";

function span(id: string, parent: string | null, start: number, end: number | null, more: Partial<Span> = {}): Span {
  return { id, parent, name: id, kind: "tool", start, end, failed: false, agent: "/", seq: null, note: "", ...more };
}

const names = (spans: Span[]) => forest(spans).spans.map((s) => s.id);

test("children stand under their parent by start, whatever order they come in", () => {
  const f = forest([span("c", "a", 5, 6), span("b", "a", 2, 3), span("a", null, 0, 10), span("d", "b", 2, 3)]);
  expect(f.spans.map((s) => s.id)).toEqual(["a", "b", "d", "c"]);
  expect([...f.depth]).toEqual([0, 1, 2, 1]);
  expect([...f.until]).toEqual([4, 3, 3, 4]);
  expect([f.start, f.end, f.open, f.orphans]).toEqual([0, 10, 0, 0]);
});

test("orphans and cycles are shown, each span once", () => {
  expect(names([span("a", "gone", 1, 2), span("b", "b", 0, 1)])).toEqual(["b", "a"]);
  expect(names([span("x", "y", 0, 1), span("y", "x", 0, 1), span("z", "y", 0, 1)]).sort()).toEqual(["x", "y", "z"]);
  expect(forest([span("a", "gone", 1, 2)]).orphans).toBe(1);
  expect(forest([]).spans).toEqual([]);
});

test("a chain of 100,000 spans does not end the page", () => {
  const chain = Array.from({ length: 100_000 }, (_, i) => span(`s${i}`, i === 0 ? null : `s${i - 1}`, i, i + 1));
  expect(forest(chain).until[0]).toBe(100_000);
});

test("closed spans hide what is under them; a search looks everywhere", () => {
  const f = forest([span("a", null, 0, 9), span("b", "a", 1, 2, { failed: true }), span("c", "b", 1, 2), span("d", "a", 3, 4)]);
  const ids = (rows: Uint32Array) => [...rows].map((r) => f.spans[r]?.id);
  expect(ids(visibleRows(f, new Set(["b"]), null))).toEqual(["a", "b", "d"]);
  expect(ids(visibleRows(f, new Set(), (s) => s.failed))).toEqual(["b"]);
});

test("zoom keeps the point it is about, and stays within the whole", () => {
  const whole = { from: 0, to: 1000 };
  const near = zoom(whole, whole, 250, 0.1);
  expect(near).toEqual({ from: 225, to: 325 });
  expect(zoom(near, whole, 300, 100)).toEqual(whole);
  expect(pan(near, whole, -9999)).toEqual({ from: 0, to: 100 });
  expect(pan(near, whole, 9999)).toEqual({ from: 900, to: 1000 });
  const least = zoom({ from: 5, to: 5.001 }, whole, 5, 0.001);
  expect(least.to - least.from).toBeCloseTo(0.001, 9);
});

test("ticks are round, bounded and labelled", () => {
  expect(ticks({ from: 0, to: 1000 }, 5).map((t) => t.label)).toEqual(["0", "200 ms", "400 ms", "600 ms", "800 ms", "1.0 s"]);
  expect(ticks({ from: 0, to: 4 * 3600e3 }, 4).map((t) => t.label)).toEqual(["0", "1:00 h", "2:00 h", "3:00 h", "4:00 h"]);
  expect(ticks({ from: 0, to: 0.01 }, 5)[1]?.label).toBe("0.002 ms");
  for (const to of [1e-3, 0.7, 12, 999, 65e3, 1e7, 9e8, 4e10]) expect(ticks({ from: 0, to }, 8).length).toBeLessThanOrEqual(10);
  expect(ticks({ from: 3, to: 3 }, 5)).toEqual([]);
});

test("the overview counts what is open, and open spans reach its end", () => {
  const d = density(forest([span("a", null, 0, 100), span("b", "a", 50, null), span("c", "a", 0, 9, { failed: true })]), 10, 100);
  expect([...d.busy]).toEqual([2, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
  expect(d.failed[0]).toBe(1);
  expect(d.most).toBe(2);
});
