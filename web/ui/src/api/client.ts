// The only place that talks to the server. One function an endpoint; each returns what the contract
// promises or throws a Problem, which says what went wrong and what to do in words for people.
import { wantToken } from "./session";
import type {
  Agent,
  About, Audit, AuditKind, Comparison, Diff, FileList, Forked, ForkRequest, MessageList, ProblemBody, Run, RunList, SpanDetail, SpanList, State,
  Transcript, Verification,
} from "./words";

export class Problem extends Error {
  readonly kind: ProblemBody["kind"] | "unreachable" | "not_understood";
  readonly status: number;
  readonly title: string;
  readonly field: string | undefined;

  constructor(kind: Problem["kind"], status: number, title: string, detail: string, field?: string) {
    super(detail);
    this.kind = kind;
    this.status = status;
    this.title = title;
    this.field = field;
  }
}

type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

export function path(parts: readonly (string | number)[], query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined || value === "") continue;
    if (typeof value === "object") for (const v of value) search.append(key, v);
    else search.set(key, String(value));
  }
  const text = search.toString();
  return "/" + parts.map((p) => encodeURIComponent(p)).join("/") + (text ? "?" + text : "");
}

async function send(url: string, init: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, init);
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new Problem("unreachable", 0, "No answer", "tacho does not answer. Is it still running? Start it again with `tacho up`; this page goes on by itself.");
  }
  if (!answer.ok) {
    const problem = await problemOf(answer);
    if (problem.kind === "no_token") wantToken();
    throw problem;
  }
  return answer;
}

async function problemOf(answer: Response): Promise<Problem> {
  const fallback = new Problem("internal", answer.status, answer.statusText || "Error", `The server answered ${answer.status}. Its log says more.`);
  if (!/json/.test(answer.headers.get("Content-Type") ?? "")) return fallback;
  try {
    const body = (await answer.json()) as Partial<ProblemBody>;
    if (!body.kind || !body.detail) return fallback;
    return new Problem(body.kind, answer.status, body.title ?? "Error", body.detail, body.field);
  } catch {
    return fallback;
  }
}

/**
 * Reads JSON and checks that the fields that the page cannot do without are there: a server of another
 * version is then named as the cause, instead of a page that shows half of the truth.
 */
async function json<T extends object>(answer: Response, needed: readonly (keyof T & string)[]): Promise<T> {
  return understood(await answer.text(), answer.status, needed);
}

function understood<T extends object>(text: string, status: number, needed: readonly (keyof T & string)[]): T {
  let body: T;
  try {
    body = JSON.parse(text) as T;
  } catch {
    throw new Problem("not_understood", status, "Answer not understood", "The server's answer is no JSON. Is another program listening here?");
  }
  for (const field of needed) {
    if (body === null || typeof body !== "object" || !(field in body)) {
      throw new Problem("not_understood", status, "Answer not understood", `The server's answer has no field "${field}". Page and server are of different versions: reload the page.`);
    }
  }
  return body;
}

async function get<T extends object>(url: string, needed: readonly (keyof T & string)[], signal?: AbortSignal): Promise<T> {
  return json<T>(await send(url, { signal: signal ?? null, headers: { Accept: "application/json" } }), needed);
}

async function post<T extends object>(url: string, body: object, needed: readonly (keyof T & string)[], method = "POST"): Promise<T> {
  const init = { method, headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify(body) };
  return json<T>(await send(url, init), needed);
}

export interface RunsFilter {
  q?: string | undefined;
  status?: readonly string[] | undefined;
  source?: string | undefined;
}

export const getAbout = (signal?: AbortSignal) => get<About>("/api/about", ["version"], signal);

export const signIn = (token: string) => post<About>("/api/session", { token }, ["version"]);

export const signOut = () => post("/api/session", {}, [], "DELETE");

export const listRuns = (filter: RunsFilter, cursor: string | undefined, signal?: AbortSignal) =>
  get<RunList>(path(["api", "runs"], { q: filter.q, status: filter.status, source: filter.source, cursor, limit: 100 }), ["runs", "as_of"], signal);

export const getRun = (id: string, signal?: AbortSignal) => get<Run>(path(["api", "runs", id]), ["summary", "goal", "held_calls", "forks"], signal);

export const getTranscript = (id: string, where: { from?: number; before?: number; limit: number }, signal?: AbortSignal) =>
  get<Transcript>(path(["api", "runs", id, "transcript"], where), ["items", "entries"], signal);

/**
 * All spans of a run while the server reads them: `take` gets a few at first, then more. A span that was open comes
 * again when it has ended. Given how many entries of the journal those are of that are there already, what is new.
 */
export async function readSpans(id: string, after: number | undefined, take: (part: SpanList) => void, signal: AbortSignal): Promise<void> {
  const answer = await send(path(["api", "runs", id, "spans"], { after }), { signal, headers: { Accept: "application/x-ndjson" } });
  let more = true;
  for await (const line of lines(answer)) {
    const part = understood<SpanList>(line, answer.status, ["spans", "origin", "total"]);
    more = part.more === true;
    take(part);
  }
  if (more) throw new Problem("internal", answer.status, "Not all of it came", "The server broke off while it read the spans. Its log says why; reload to try again.");
}

async function* lines(answer: Response): AsyncGenerator<string> {
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let got = await reader?.read(); got && !got.done; got = await reader?.read()) {
    const parts = (rest + got.value).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
  if (rest) yield rest;
}

export const getSpan = (id: string, span: string, signal?: AbortSignal) =>
  get<SpanDetail>(path(["api", "runs", id, "spans", span]), ["span", "attributes", "events"], signal);

export const getState = (id: string, seq: number | undefined, signal?: AbortSignal) =>
  get<State>(path(["api", "runs", id, "state"], { seq }), ["seq", "entries", "agents", "usage"], signal);

export const listMessages = (id: string, seq: number | undefined, agent: string, from: number, signal?: AbortSignal) =>
  get<MessageList>(path(["api", "runs", id, "messages"], { seq, agent, from, limit: 200 }), ["messages", "total"], signal);

export const listFiles = (id: string, seq: number | undefined, place: Place, signal?: AbortSignal) =>
  get<FileList>(path(["api", "runs", id, "files"], { seq, ...place }), ["entry", "entries", "root"], signal);

export const getDiff = (id: string, range: DiffRange, signal?: AbortSignal) =>
  get<Diff>(path(["api", "runs", id, "diff"], { ...range }), ["changes", "total"], signal);

export const getAudit = (id: string, from: number, kind: readonly AuditKind[], signal?: AbortSignal) =>
  get<Audit>(path(["api", "runs", id, "audit"], { from, kind, limit: 200 }), ["rows", "heads"], signal);

export const compareRuns = (a: string, b: string, signal?: AbortSignal) =>
  get<Comparison>(path(["api", "compare"], { a, b }), ["a", "b", "rows", "files"], signal);

export const verifyRun = (id: string) => post<Verification>(path(["api", "runs", id, "verify"]), {}, ["verdict", "findings"]);

export const forkRun = (id: string, request: ForkRequest) => post<Forked>(path(["api", "runs", id, "fork"]), request, ["run_id"]);

export const steerRun = (id: string, verb: "pause" | "resume" | "stop", body: { now?: boolean } = {}) =>
  post<Agent>(path(["v1", "agents", id, verb]), body, ["id", "status", "held_calls"]);

export const answerCall = (id: string, call: number, decision: "approve" | "deny", reason: string) =>
  post<Agent>(path(["v1", "agents", id, "approvals", call]), reason ? { decision, reason } : { decision }, ["id", "status", "held_calls"]);

/** A path in the workspace; as base64 where it is not UTF-8. */
export type Place = { path?: string } | { path_base64: string };

export interface DiffRange {
  from?: number | undefined;
  to?: number | undefined;
  with?: string | undefined;
  path?: string | undefined;
}

/** Part of a text, or of bytes that are none. */
export interface Piece {
  text: string;
  binary: boolean;
  total: number;
  /** Where the next piece begins, if there is one. */
  next: number | undefined;
}

async function piece(url: string, signal?: AbortSignal): Promise<Piece> {
  const answer = await send(url, { signal: signal ?? null, headers: { Accept: "text/plain, application/octet-stream" } });
  const binary = !(answer.headers.get("Content-Type") ?? "").startsWith("text/plain");
  const next = answer.headers.get("X-Next-Offset");
  const text = await answer.text();
  return { text, binary, total: Number(answer.headers.get("X-Total-Bytes") ?? text.length), next: next ? Number(next) : undefined };
}

export const getContent = (id: string, ref: string, part: string | undefined, offset: number, limit: number, signal?: AbortSignal) =>
  piece(path(["api", "runs", id, "content", ref], { part, offset, limit }), signal);

export const getFile = (id: string, seq: number | undefined, place: Place, offset: number, limit: number, signal?: AbortSignal) =>
  piece(path(["api", "runs", id, "file"], { seq, ...place, offset, limit }), signal);

/** A unified diff; cut says that it is longer than the server sends. */
export async function getPatch(id: string, range: DiffRange, signal?: AbortSignal): Promise<{ text: string; cut: boolean }> {
  const answer = await send(path(["api", "runs", id, "diff"], { ...range }), { signal: signal ?? null, headers: { Accept: "text/plain" } });
  return { text: await answer.text(), cut: answer.headers.get("X-Cut") === "true" };
}
