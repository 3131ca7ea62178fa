// One run: its header stays, the views change below it. One stream of events serves them all.
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { Link, Navigate, useLocation, useNavigate, useParams, useSearchParams } from "react-router";
import { getRun, type Problem } from "../api/client";
import { useLive } from "../api/live";
import { amend, useResource, useRetry } from "../api/resource";
import type { Run } from "../api/words";
import { shortRun } from "../lib/format";
import { oneLine } from "../lib/hostile";
import { Crumbs } from "../parts/Crumbs";
import { useKeys } from "../parts/keys";
import { Empty, ErrorNotice, Notice, Skeleton } from "../parts/Notice";
import { AuditView } from "./Audit";
import { CompareView } from "./Compare";
import { Shared, type RunContext, type RunEvents } from "./context";
import { ForkView } from "./Fork";
import { RunHeader } from "./RunHeader";
import { useFirst } from "./Runs";
import { useSoon } from "./soon";
import { StateView } from "./State";
import { TimelineView } from "./Timeline";
import { TranscriptView } from "./Transcript";

/** Views in the order of their keys. Those of the journal only say why they are empty for other people's traces. */
export const VIEWS = [
  { name: "transcript", title: "Transcript", journal: false },
  { name: "timeline", title: "Timeline", journal: false },
  { name: "state", title: "State", journal: true },
  { name: "audit", title: "Audit", journal: true },
] as const;

export function RunPage() {
  const { id = "", view } = useParams();
  const header = useResource("run/" + id, (signal) => getRun(id, signal));
  if (header.error && !header.data) {
    return (
      <>
        <Crumbs title="Run"><Link to="/runs">Runs</Link></Crumbs>
        <div className="page narrow">
          <ErrorNotice error={header.error} retry={header.reload} />
          <p className="quiet"><Link to="/runs">Back to the runs</Link></p>
        </div>
      </>
    );
  }
  if (!header.data) return <><Crumbs title="Run" /><div className="runhead waiting"><Skeleton lines={4} /></div></>;
  return <LoadedRun key={id} id={id} run={header.data} error={header.error} reload={header.reload} view={view} />;
}

interface LoadedProps {
  id: string;
  run: Run;
  /** Of the newest attempt to read the run again: what is shown is older. */
  error: Problem | undefined;
  reload: () => void;
  view: string | undefined;
}

function LoadedRun({ id, run, error, reload, view }: LoadedProps) {
  const listeners = useRef(new Set<RunEvents>());
  const entries = run.summary.entries ?? 0;
  const [seen, setSeen] = useState(entries - 1);
  const soon = useSoon(reload, 300);
  const journal = run.summary.source === "tacho";
  useLive(id, useFirst(id, journal ? String(entries - 1) : undefined), {
    run: (summary) => { amend<Run>("run/" + id, (r) => ({ ...r, summary })); soon(); },
    entry: (entry) => {
      setSeen((n) => Math.max(n, entry.seq));
      for (const l of listeners.current) l.entry?.(entry);
      if (/^(call\.(held|approved|refused|expired)|run\.|paused|resumed|stopped|recovered|alarm|limit)/.test(entry.kind)) soon();
    },
    piece: (piece) => { for (const l of listeners.current) l.piece?.(piece); },
    again: () => { for (const l of listeners.current) l.again?.(); },
    end: reload,
  });
  useRetry(error, reload);
  useEffect(() => { // nobody tells what becomes of a foreign trace, so ask
    if (journal || run.summary.status !== "running") return;
    const timer = setInterval(reload, 5000);
    return () => clearInterval(timer);
  }, [journal, run.summary.status, reload]);
  const subscribe = useCallback((events: RunEvents) => {
    listeners.current.add(events);
    return () => { listeners.current.delete(events); };
  }, []);
  const newest = Math.max(seen, entries - 1);
  const shared = useMemo<RunContext>(() => ({ id, run, reload, newest, subscribe }), [id, run, reload, newest, subscribe]);
  const navigate = useNavigate();
  const { state: told } = useLocation() as { state: { warning?: string } | null };
  const [search] = useSearchParams();
  const go = (n: number) => () => {
    const v = VIEWS[n];
    if (v) void navigate(`/runs/${id}/${v.name}${carried(search)}`);
  };
  useKeys({ "1": go(0), "2": go(1), "3": go(2), "4": go(3), u: () => void navigate("/runs") });

  if (view === undefined) return <Navigate to={`/runs/${id}/${journal || run.summary.steps > 0 ? "transcript" : "timeline"}`} replace />;
  return (
    <Shared value={shared}>
      <Crumbs title={oneLine(run.goal.text, 60) || shortRun(id)}><Link to="/runs">Runs</Link><span>/</span><span className="mono">{shortRun(id)}</span></Crumbs>
      <RunHeader view={view} />
      {error && <div className="told"><Notice tone="warn"><span className="grow">What is shown of this run may be old: <span className="foreign">{error.message}</span> The page asks again by itself.</span><button className="button small" onClick={reload}>Ask now</button></Notice></div>}
      {told?.warning && run.summary.status === "paused" && <div className="told"><Notice tone="warn"><span className="foreign">{told.warning}</span></Notice></div>}
      <View name={view} journal={journal} />
    </Shared>
  );
}

/** The chosen step goes along from view to view. */
export function carried(search: URLSearchParams): string {
  const seq = search.get("seq");
  return seq ? "?seq=" + encodeURIComponent(seq) : "";
}

function View({ name, journal }: { name: string; journal: boolean }) {
  if (name === "timeline") return <TimelineView />;
  if (name === "transcript") return <TranscriptView />;
  if (!journal) return <NoJournal view={name} />;
  switch (name) {
    case "state": return <StateView />;
    case "audit": return <AuditView />;
    case "fork": return <ForkView />;
    case "compare": return <CompareView />;
  }
  return <Empty title="There is no such view"><p>Choose one above.</p></Empty>;
}

/** What a view would show, and why it cannot. */
const NEEDS: Record<string, string> = {
  state: "A state is rebuilt entry by entry from the journal: the messages, files and budgets as they were at any step.",
  audit: "An audit lists the decisions of policy and the signed heads that prove that the journal is whole.",
  fork: "A fork begins from a state, in a copy of the files as they were then.",
  compare: "A comparison sets two journals side by side.",
};

function NoJournal({ view }: { view: string }) {
  return (
    <Empty title="This run has no journal">
      <p>{NEEDS[view] ?? "There is no such view."}</p>
      <p>This is a trace that another program sent over OpenTelemetry: it says what happened, and nothing in it proves that, or holds what a state is made of. Its <Link to="../transcript" relative="path">transcript</Link> and <Link to="../timeline" relative="path">timeline</Link> show what arrived. Agents that tacho itself runs have a journal.</p>
    </Empty>
  );
}
