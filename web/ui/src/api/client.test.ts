import { afterEach, describe, expect, it, test, vi } from "vitest";
import { getContent, getRun, listRuns, path, Problem, readSpans, steerRun } from "./client";
import type { SpanList } from "./words";

afterEach(() => vi.unstubAllGlobals());

/** A server that answers everything in one way, and what it was asked. */
function serve(status: number, body: string, type = "application/json", headers: Record<string, string> = {}): Request[] {
  const asked: Request[] = [];
  vi.stubGlobal("fetch", (url: string, init?: RequestInit) => {
    asked.push(new Request(new URL(url, "http://127.0.0.1"), init));
    return Promise.resolve(new Response(body, { status, headers: { "Content-Type": type, ...headers } }));
  });
  return asked;
}

async function problem(work: Promise<unknown>): Promise<Problem> {
  const cause: unknown = await work.then(() => undefined, (e: unknown) => e);
  if (!(cause instanceof Problem)) throw new Error(`no problem, but ${String(cause)}`);
  return cause;
}

test("a path is escaped, and what is empty is left out", () => {
  expect(path(["api", "runs", "a/b?"], { q: "x y&z", status: ["done", "held"], cursor: undefined, source: "", seq: 0 })).toBe("/api/runs/a%2Fb%3F?q=x+y%26z&status=done&status=held&seq=0");
});

test("a problem document becomes its words", async () => {
  serve(409, JSON.stringify({ type: "urn:x", title: "Conflict", status: 409, detail: "It has ended.", kind: "conflict", field: "seq" }), "application/problem+json");
  const p = await problem(steerRun("1", "pause"));
  expect([p.kind, p.status, p.title, p.message, p.field]).toEqual(["conflict", 409, "Conflict", "It has ended.", "seq"]);
});

test("any other error says so", async () => {
  serve(500, "<h1>oops</h1>", "text/html");
  const p = await problem(getRun("1"));
  expect([p.kind, p.status]).toEqual(["internal", 500]);
  expect(p.message).toContain("500");
});

test("no answer is told apart, and leaving is no error", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("fetch failed")));
  expect((await problem(getRun("1"))).kind).toBe("unreachable");
  vi.stubGlobal("fetch", () => Promise.reject(new DOMException("gone", "AbortError")));
  await expect(getRun("1")).rejects.toBeInstanceOf(DOMException);
});

test.each([['{"summary":{},"gole":{},"held_calls":[],"forks":[]}', "goal"], ["null", "summary"], ["[]", "summary"]])("a field that is not there is named: %s", async (body, field) => {
  serve(200, body);
  const p = await problem(getRun("1"));
  expect(p.kind).toBe("not_understood");
  expect(p.message).toContain(`"${field}"`);
});

test("what changes something comes as JSON", async () => {
  const asked = serve(200, '{"id":"1","status":"running","held_calls":[]}');
  await steerRun("1", "stop", { now: true });
  expect(asked[0]?.method).toBe("POST");
  expect(asked[0]?.headers.get("Content-Type")).toBe("application/json");
  expect(await asked[0]?.text()).toBe('{"now":true}');
});

test("a filter goes into the query", async () => {
  const asked = serve(200, '{"runs":[],"as_of":"1"}');
  await listRuns({ q: "tests", status: ["failed"], source: "" }, "c1");
  expect(new URL(asked[0]?.url ?? "").search).toBe("?q=tests&status=failed&cursor=c1&limit=100");
});

test("a piece says how much there is, and what is no text", async () => {
  serve(200, "abc", "text/plain; charset=utf-8", { "X-Total-Bytes": "10", "X-Next-Offset": "3" });
  expect(await getContent("1", "sha256:0", "call/0", 0, 3)).toEqual({ text: "abc", binary: false, total: 10, next: 3 });
  serve(200, "abc", "application/octet-stream", { "X-Total-Bytes": "3" });
  expect(await getContent("1", "sha256:0", undefined, 0, 3)).toEqual({ text: "abc", binary: true, total: 3, next: undefined });
});

describe("spans as they are read", () => {
  const head = { origin: "2026-01-01T00:00:00Z", total: 1, open: 0, journal: true, spans: [] };
  const answers = (...chunks: string[]) => {
    const coded = chunks.map((c) => new TextEncoder().encode(c));
    vi.stubGlobal("fetch", () => Promise.resolve(new Response(new ReadableStream({ start: (c) => { coded.forEach((b) => c.enqueue(b)); c.close(); } }))));
  };
  const read = async () => {
    const got: SpanList[] = [];
    await readSpans("x", undefined, (part) => got.push(part), new AbortController().signal);
    return got;
  };

  it("puts lines together wherever they were cut", async () => {
    const text = JSON.stringify({ ...head, more: true }) + "\n" + JSON.stringify({ ...head, total: 7 }) + "\n";
    answers(text.slice(0, 5), text.slice(5, 120), text.slice(120));
    expect((await read()).map((p) => p.total)).toEqual([1, 7]);
  });
  it("does not take a part for the whole", async () => {
    answers(JSON.stringify({ ...head, more: true }) + "\n");
    await expect(read()).rejects.toThrow(/broke off/);
  });
  it("names a field that is missing", async () => {
    answers(JSON.stringify({ ...head, spans: undefined }) + "\n");
    await expect(read()).rejects.toThrow(/"spans"/);
  });
});
