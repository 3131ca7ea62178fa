// What the run knew after an entry: its conversation, its files, its budgets. A slider goes through time;
// the address holds where it stands, what is open, and against which entry files are compared.
import { useCallback, useEffect, useRef, useState } from "react";
import { useSearchParams } from "react-router";
import { getState } from "../api/client";
import { useResource } from "../api/resource";
import type { State } from "../api/words";
import { compact, duration, dollars, integer, moment, short } from "../lib/format";
import { Line } from "../parts/Foreign";
import { useKeys } from "../parts/keys";
import { Copy, Meter, Money } from "../parts/Marks";
import { ErrorNotice, Skeleton } from "../parts/Notice";
import { useRun } from "./context";
import { FilesView } from "./Files";
import { MessagesView } from "./Messages";

const TABS = [["messages", "Messages"], ["files", "Files"], ["budgets", "Budgets and agents"]] as const;

export function StateView() {
  const { id, newest } = useRun();
  const [search, setSearch] = useSearchParams();
  const at = search.has("seq") ? Math.max(0, Math.min(newest, Math.trunc(Number(search.get("seq"))) || 0)) : newest;
  const tab = search.get("tab") ?? "messages";
  const state = useResource(`state/${id}/${at}`, (signal) => getState(id, at, signal), true);
  const seen = useKept(state.data);
  const set = useCallback((change: Record<string, string | null>) => setSearch((s) => {
    const next = new URLSearchParams(s);
    for (const [name, value] of Object.entries(change)) {
      if (value === null) next.delete(name);
      else next.set(name, value);
    }
    return next;
  }, { replace: true }), [setSearch]);
  const go = useCallback((seq: number) => set({ seq: String(Math.max(0, Math.min(newest, seq))) }), [set, newest]);
  useKeys({ ArrowLeft: () => go(at - 1), ArrowRight: () => go(at + 1), Home: () => go(0), End: () => go(newest), k: () => go(at - 1), j: () => go(at + 1) });

  return (
    <>
      <Scrubber at={at} newest={newest} go={go} state={seen} loading={state.loading} />
      <div className="subbar">
        <div className="segmented" role="group" aria-label="What of the state">
          {TABS.map(([name, title]) => <button key={name} aria-pressed={tab === name} onClick={() => set({ tab: name })}>{title}</button>)}
        </div>
        {seen && <span className="quiet">after <span className="mono">{seen.kind ?? "entry"}</span> · {moment(seen.time)}</span>}
        <span className="grow" />
        {seen && <span className="hash" title={seen.state}>state {short(seen.state)} <Copy text={seen.state} what="the state's hash" /></span>}
      </div>
      {state.error ? <div className="page narrow"><ErrorNotice error={state.error} retry={state.reload} /></div>
        : !seen ? <div className="story waiting"><Skeleton lines={10} /></div>
        : tab === "files" ? <FilesView at={at} />
        : tab === "budgets" ? <BudgetsView state={seen} />
        : <MessagesView at={at} state={seen} />}
    </>
  );
}

/** The last that was there, until the next is: nothing flickers while a slider moves. */
export function useKept<T>(value: T | undefined): T | undefined {
  const [kept, setKept] = useState(value);
  if (value !== undefined && value !== kept) setKept(value);
  return value ?? kept;
}

interface ScrubberProps { at: number; newest: number; go: (seq: number) => void; state: State | undefined; loading: boolean }

function Scrubber({ at, newest, go, state, loading }: ScrubberProps) {
  const [drag, setDrag] = useState<number>();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const shown = drag ?? at;
  const slide = (seq: number) => {
    setDrag(seq);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => { setDrag(undefined); go(seq); }, 60); // a slider passes many entries; ask where it rests
  };
  return (
    <div className="scrubber">
      <button className="button small" onClick={() => go(at - 1)} disabled={at <= 0} aria-label="One entry back">◀</button>
      <button className="button small" onClick={() => go(at + 1)} disabled={at >= newest} aria-label="One entry forward">▶</button>
      <div className="track">
        <input type="range" min={0} max={Math.max(0, newest)} value={shown} onChange={(e) => slide(Number(e.target.value))} aria-label="Entry" aria-valuetext={`entry ${shown} of ${newest}`} />
        <div className="ticks" aria-hidden="true">
          {(state?.snapshots ?? []).map((s) => <i key={s} className="key" title={`Snapshot at entry ${s}`} style={{ left: `${(s / Math.max(1, newest)) * 100}%` }} />)}
        </div>
      </div>
      <label className="row"><span className="hidden">Entry number</span><input className="field seqfield" type="number" min={0} max={newest} value={shown} onChange={(e) => slide(Math.max(0, Math.min(newest, Number(e.target.value))))} /></label>
      <span className="quiet nowrap seqof">of {integer(newest)}</span>
      <i className={"dot busy" + (loading ? " live" : " off")} aria-hidden="true" />
    </div>
  );
}

function BudgetsView({ state: s }: { state: State }) {
  const u = s.usage;
  return (
    <div className="scroll"><div className="page">
      <section className="panel">
        <header><h2>Budgets</h2></header>
        <div className="body budgets flush">
          <Meter label="Steps" used={u.steps} limit={s.limits.steps} show={(n) => integer(n)} />
          <Meter label="Tokens" used={u.tokens.input + u.tokens.output} limit={s.limits.tokens} show={compact} />
          {u.cost.usd !== undefined ? <Meter label="Cost" used={Number(u.cost.usd)} limit={s.limits.cost_usd === undefined ? undefined : Number(s.limits.cost_usd)} show={(n) => dollars(String(n))} />
            : <div className="budget"><div className="row"><span>Cost</span><Money cost={u.cost} /></div></div>}
          <Meter label="Active time" used={u.active_seconds} limit={s.limits.seconds} show={(n) => duration(n * 1000)} />
          <div className="budget"><div className="row"><span>Calls</span><b>{integer(u.calls)}</b></div></div>
          <div className="budget"><div className="row"><span>Rollbacks</span><b>{integer(s.rollbacks)}</b></div></div>
        </div>
      </section>
      <section className="panel">
        <header><h2>Agents</h2><span className="faint">{integer(s.agents.length)}</span></header>
        <table className="table">
          <thead><tr><th className="c-num">Agent</th><th className="c-num">Status</th><th>Goal</th><th>Intent</th><th className="num c-num">Step</th><th className="num c-cost">Messages</th><th className="c-model">Doing</th></tr></thead>
          <tbody>{s.agents.map((a) => (
            <tr key={a.path}>
              <td className="mono">{a.path}</td><td>{a.status}</td><td className="clip"><Line text={a.goal.text} /></td><td className="clip"><Line text={a.intent?.text ?? "–"} /></td><td className="num">{integer(a.step)}</td><td className="num">{integer(a.messages)}</td>
              <td className="clip">{a.waiting ? "asks the model" : a.calls.map((c) => `${c.tool}: ${c.status || c.phase}`).join(", ") || "–"}</td>
            </tr>
          ))}</tbody>
        </table>
      </section>
      {s.tasks.length > 0 && (
        <section className="panel">
          <header><h2>Tasks</h2></header>
          <table className="table"><thead><tr><th className="c-num">Task</th><th className="c-num">Status</th><th>Title</th><th className="c-num">Agent</th><th className="c-num">After</th></tr></thead>
            <tbody>{s.tasks.map((t) => <tr key={t.id}><td>{t.id}</td><td>{t.status}</td><td className="clip"><Line text={t.title.text} /></td><td className="mono">{t.agent ?? "–"}</td><td>{t.after.join(", ") || "–"}</td></tr>)}</tbody></table>
        </section>
      )}
      <section className="panel">
        <header><h2>What it is bound to</h2></header>
        <dl className="pairs body">
          <dt>State</dt><dd className="hash">{s.state}</dd><dt>Files</dt><dd className="hash">{s.root}</dd><dt>Files at first</dt><dd className="hash">{s.base}</dd>
          <dt>Left out</dt><dd>{integer(s.left_out)} entries of the directory are not in the tree</dd>
          <dt>Status</dt><dd>{s.status}{s.why && `: ${s.why}`}{s.hold && ", held by an alarm"}</dd>
        </dl>
      </section>
    </div></div>
  );
}
