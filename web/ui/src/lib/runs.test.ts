import { expect, test } from "vitest";
import type { RunSummary } from "../api/words";
import { place, wanted } from "./runs";

function run(id: string, started: string, more: Partial<RunSummary> = {}): RunSummary {
  return {
    id, source: "tacho", project: "default", status: "running", goal: "Make the tests pass", model: "kimi/k2", started_at: started, last_at: started, agents: 1, steps: 0, calls: 0, errors: 0, held: 0,
    tokens: { input: 0, cached: 0, output: 0, reasoning: 0 }, cost: { known: "unknown" }, ...more,
  };
}

test("a filter lets through what the server would", () => {
  const r = run("01a2", "2026");
  const all = { q: "", status: [], source: "" };
  expect(wanted(r, all)).toBe(true);
  expect(wanted(r, { ...all, q: "TESTS kimi" })).toBe(true);
  expect(wanted(r, { ...all, q: "tests gpt" })).toBe(false);
  expect(wanted(r, { ...all, status: ["failed"] })).toBe(false);
  expect(wanted(r, { ...all, source: "otlp" })).toBe(false);
});

test("a run keeps its place, comes to it, or leaves", () => {
  const list = [run("c", "2026-03"), run("a", "2026-01")];
  const ids = (runs: RunSummary[]) => runs.map((r) => `${r.id} ${r.status}`);
  expect(ids(place(list, run("b", "2026-02"), true))).toEqual(["c running", "b running", "a running"]);
  expect(ids(place(list, run("a", "2026-01", { status: "done" }), true))).toEqual(["c running", "a done"]);
  expect(ids(place(list, run("c", "2026-03"), false))).toEqual(["a running"]);
});
