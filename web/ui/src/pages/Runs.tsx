// The list of runs: what runs now, what needs a person, what it cost. The address holds search and filter.
import { useCallback, useEffect, useRef, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { getAbout, listRuns, Problem } from "../api/client";
import { useLive } from "../api/live";
import { amend, useResource } from "../api/resource";
import type { RunList, RunSummary, Status } from "../api/words";
import { compact, duration, instant, integer, shortRun } from "../lib/format";
import { modelName } from "../lib/names";
import { place, wanted } from "../lib/runs";
import { Crumbs } from "../parts/Crumbs";
import { Line } from "../parts/Foreign";
import { useKeys } from "../parts/keys";
import { Ago, Money, RunStatus, useNow } from "../parts/Marks";
import { Empty, ErrorNotice } from "../parts/Notice";

const STATUSES: Status[] = ["running", "held", "paused", "done", "failed", "stopped"];

export function RunsPage() {
  const [search, setSearch] = useSearchParams();
  const filter = { q: search.get("q") ?? "", status: search.getAll("status"), source: search.get("source") ?? "" };
  const key = "runs?" + search.toString();
  const list = useResource(key, (signal) => listRuns(filter, undefined, signal));
  const about = useResource("about", getAbout, true);
  const [chosen, setChosen] = useState<string>();
  const box = useRef<HTMLInputElement>(null);
  const navigate = useNavigate();
  const runs = list.data?.runs ?? [];
  useLive(null, useFirst(key, list.data?.as_of), { run: (run) => amend<RunList>(key, (data) => ({ ...data, runs: place(data.runs, run, wanted(run, filter)) })) });

  const set = (name: string, values: string[]) => {
    const next = new URLSearchParams(search);
    next.delete(name);
    for (const v of values) if (v) next.append(name, v);
    setSearch(next, { replace: true });
  };
  const move = (by: number) => {
    const at = runs.findIndex((r) => r.id === chosen);
    const next = runs[Math.max(0, Math.min(runs.length - 1, at < 0 ? (by > 0 ? 0 : runs.length - 1) : at + by))];
    setChosen(next?.id);
    if (next) document.getElementById("run-" + next.id)?.scrollIntoView({ block: "nearest" });
  };
  useKeys({
    "/": () => box.current?.select(),
    j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1),
    Enter: () => { if (chosen) void navigate("/runs/" + chosen); },
    Escape: () => { if (document.activeElement === box.current) box.current?.blur(); else setChosen(undefined); },
  });

  return (
    <>
      <Crumbs title="Runs">Runs</Crumbs>
      <div className="toolbar" role="search">
        <SearchBox value={filter.q} change={(q) => set("q", [q])} box={box} />
        <div className="segmented" role="group" aria-label="Status">
          {STATUSES.map((s) => (
            <button key={s} aria-pressed={filter.status.includes(s)} onClick={() => set("status", filter.status.includes(s) ? filter.status.filter((x) => x !== s) : [...filter.status, s])}>
              {s === "held" ? "waits for you" : s}
            </button>
          ))}
        </div>
        {about.data?.foreign !== false && ( // nothing moves when the answer comes
          <div className="segmented" role="group" aria-label="Source">
            {[["", "all"], ["tacho", "with a journal"], ["otlp", "other agents"]].map(([value = "", word]) => (
              <button key={value} aria-pressed={filter.source === value} onClick={() => set("source", [value])}>{word}</button>
            ))}
          </div>
        )}
        {search.size > 0 && <button className="button plain" onClick={() => setSearch({}, { replace: true })}>Clear</button>}
      </div>
      {list.error && <div className="page narrow"><ErrorNotice error={list.error} retry={list.reload} /></div>}
      <div className="scroll">
        <RunTable runs={runs} loading={list.loading && !list.data} chosen={chosen} choose={setChosen} />
        {list.data && runs.length === 0 && (search.size > 0 ? <NoMatch /> : <NoRuns />)}
        {list.data?.next && <More cursor={list.data.next} filter={filter} add={(page) => amend<RunList>(key, (d) => ({ ...d, runs: [...d.runs, ...page.runs], ...(page.next ? { next: page.next } : { next: undefined }) } as RunList))} />}
      </div>
    </>
  );
}

/** The first value that is there for a key: a stream goes on from where its list began. */
export function useFirst(key: string, value: string | undefined): string | undefined {
  const kept = useRef<{ key: string; value: string }>(undefined);
  if (value !== undefined && kept.current?.key !== key) kept.current = { key, value };
  return kept.current?.key === key ? kept.current.value : undefined;
}

/** Asks when the writing rests, so that each letter is no request. */
function SearchBox({ value, change, box }: { value: string; change: (q: string) => void; box: React.RefObject<HTMLInputElement | null> }) {
  const [text, setText] = useState(value);
  const sent = useRef(value);
  useEffect(() => {
    if (value !== sent.current) { sent.current = value; setText(value); }
  }, [value]);
  useEffect(() => {
    if (text === sent.current) return;
    const timer = setTimeout(() => { sent.current = text; change(text); }, 200);
    return () => clearTimeout(timer);
  }); // change is new at each render; the timer starts anew with it
  return (
    <label className="search">
      <span className="hidden">Search goal, model or id</span>
      <input ref={box} className="field" type="search" placeholder="Search goal, model or id" value={text} maxLength={200} onChange={(e) => setText(e.target.value)} />
      {text === "" && <kbd aria-hidden="true">/</kbd>}
    </label>
  );
}

function RunTable({ runs, loading, chosen, choose }: { runs: RunSummary[]; loading: boolean; chosen: string | undefined; choose: (id: string) => void }) {
  if (!loading && runs.length === 0) return null;
  return (
    <table className="table runs" aria-busy={loading}>
      <colgroup><col className="c-status" /><col /><col className="c-model wide-only" /><col className="c-num wide-only" /><col className="c-num" /><col className="c-num" /><col className="c-num wide-only" /><col className="c-cost" /><col className="c-time" /><col className="c-time" /></colgroup>
      <thead>
        <tr>
          <th>Status</th><th>Goal</th><th className="wide-only">Model</th><th className="num wide-only">Agents</th><th className="num">Steps</th><th className="num">Calls</th>
          <th className="num wide-only">Tokens</th><th className="num">Cost</th><th className="num">Took</th><th className="num">Started</th>
        </tr>
      </thead>
      <tbody>
        {loading ? Array.from({ length: 8 }, (_, i) => <tr key={i} aria-hidden="true"><td colSpan={10}><div className={`skeleton w${i % 4}`} /></td></tr>)
          : runs.map((run) => <RunRow key={run.id} run={run} chosen={run.id === chosen} choose={choose} />)}
      </tbody>
    </table>
  );
}

function RunRow({ run, chosen, choose }: { run: RunSummary; chosen: boolean; choose: (id: string) => void }) {
  const navigate = useNavigate();
  const to = `/runs/${run.id}`;
  return (
    <tr id={"run-" + run.id} className="clickable" aria-selected={chosen} onClick={(e) => { if (!(e.target as Element).closest("a")) { choose(run.id); void navigate(to); } }}>
      <td><RunStatus status={run.status} why={run.why} /></td>
      <td>
        <div className="row">
          <Link to={to} className="runlink clip" onFocus={() => choose(run.id)}><Line text={run.goal || "(no goal)"} /></Link>
          <span className="faint mono nowrap">{shortRun(run.id)}</span>
          {run.parent && <span className="tag" title={`Fork of ${run.parent.run} after entry ${run.parent.seq}`}>fork of {shortRun(run.parent.run)}</span>}
          {run.source === "otlp" && <span className="tag warn" title="A trace of somebody else's agent: no journal, so no state and no proof">no journal</span>}
        </div>
      </td>
      <td className="clip quiet wide-only"><span title={run.model}><Line text={modelName(run.model) || run.service || "–"} /></span></td>
      <td className="num wide-only">{integer(run.agents)}</td>
      <td className="num">{integer(run.steps)}</td>
      <td className="num">{integer(run.calls)}</td>
      <td className="num quiet wide-only" title={`${integer(run.tokens.input)} in (${integer(run.tokens.cached)} cached), ${integer(run.tokens.output)} out`}>{compact(run.tokens.input + run.tokens.output)}</td>
      <td className="num"><Money cost={run.cost} /></td>
      <td className="num"><Took run={run} /></td>
      <td className="num quiet"><Ago at={run.started_at} /></td>
    </tr>
  );
}

function Took({ run }: { run: RunSummary }) {
  const moves = !run.ended_at && run.status === "running";
  const now = useNow(moves ? 1000 : 3_600_000);
  const begun = instant(run.started_at) ?? 0;
  const until = moves ? now : (instant(run.ended_at ?? run.last_at) ?? begun);
  return <>{duration(Math.max(0, until - begun))}</>;
}

function More({ cursor, filter, add }: { cursor: string; filter: Parameters<typeof listRuns>[0]; add: (page: RunList) => void }) {
  const [error, setError] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const load = useCallback(async () => {
    setBusy(true);
    setError(undefined);
    try {
      add(await listRuns(filter, cursor));
    } catch (cause) {
      if (cause instanceof Problem) setError(cause);
    }
    setBusy(false);
  }, [cursor, filter, add]);
  if (error) return <div className="page narrow"><ErrorNotice error={error} retry={() => void load()} /></div>;
  return <div className="more"><button className="button" disabled={busy} onClick={() => void load()}>{busy ? "Loading…" : "Older runs"}</button></div>;
}

function NoMatch() {
  return <Empty title="No run matches"><p>Take a filter away, or search for other words: all words must be in the goal, the model or the id.</p></Empty>;
}

function NoRuns() {
  return (
    <Empty title="No runs yet">
      <p>See it all with <code>tacho demo</code>, start your own with <code>tacho run SPEC</code> or <code>POST /v1/agents</code>, or point any OpenTelemetry SDK at this machine’s OTLP port. Runs appear here by themselves.</p>
    </Empty>
  );
}
