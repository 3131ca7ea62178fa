// Goal, status, budgets, verified or not; what can be done with the run; what waits for a person.
import { useRef, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { answerCall, getAbout, Problem, steerRun, verifyRun } from "../api/client";
import { amend, useResource } from "../api/resource";
import type { Agent, HeldCall, Run, Verification } from "../api/words";
import { compact, dollars, duration, integer, moment, shortRun } from "../lib/format";
import { modelName } from "../lib/names";
import { hasEnded, verdictLook } from "../lib/status";
import { Args } from "../parts/Args";
import { Dialog } from "../parts/Dialog";
import { Line } from "../parts/Foreign";
import { Ago, Badge, Copy, Effect, Meter, Money, RunStatus } from "../parts/Marks";
import { useKeys } from "../parts/keys";
import { ErrorNotice } from "../parts/Notice";
import { useRun } from "./context";
import { carried, VIEWS } from "./Run";

export function RunHeader({ view }: { view: string }) {
  const { id, run } = useRun();
  const s = run.summary;
  const journal = s.source === "tacho";
  const [open, setOpen] = useState(false);
  const [search] = useSearchParams();
  return (
    <header className="runhead">
      <div className="runtitle">
        <div>
          <h1 className={"goal foreign" + (open ? " open" : "")} title={open ? undefined : "Click for all of it"} onClick={() => setOpen(!open)}><Line text={run.goal.text || s.goal || "(no goal)"} most={open ? 100_000 : 600} /></h1>
          <Facts run={run} />
        </div>
        {journal && <Steering run={run} />}
      </div>
      {journal && <Budgets run={run} />}
      {run.held_calls.map((call, i) => <Held key={call.call} call={call} first={i === 0} />)}
      <nav className="tabs" aria-label="Views">
        {VIEWS.map((v, i) => (
          <Link key={v.name} to={`/runs/${id}/${v.name}${carried(search)}`} aria-current={v.name === view ? "page" : undefined} title={`Key ${i + 1}`}>{v.title}</Link>
        ))}
        {s.parent && <Link to={`/runs/${id}/compare?with=${s.parent.run}`} aria-current={view === "compare" ? "page" : undefined}>Compare</Link>}
        {view === "fork" && <Link to="" aria-current="page">Fork</Link>}
      </nav>
    </header>
  );
}

/** What is asked for first; the rest when somebody wants it. What is wrong is never left to that. */
function Facts({ run }: { run: Run }) {
  const [more, setMore] = useState(false);
  const s = run.summary;
  const journal = s.source === "tacho";
  return (
    <div className="facts">
      <RunStatus status={s.status} why={s.why} />
      {journal ? <Verified run={run} /> : <span className="badge warn" title="The spans are shown as they arrived. Nothing proves them.">no journal</span>}
      <span title={s.model ? `Model ${s.model}` : "Service"}><Line text={modelName(s.model) || s.service || "–"} most={60} /></span>
      <span>started <Ago at={s.started_at} /></span>
      <span><b>{integer(s.steps)}</b> steps, <b>{integer(s.calls)}</b> calls{s.spans !== undefined && <>, <b>{integer(s.spans)}</b> spans</>}</span>
      {s.errors > 0 && <span className="bad"><b>{integer(s.errors)}</b> {s.errors === 1 ? "error" : "errors"}</span>}
      {run.sandbox === "off" && <span className="bad">sandbox off</span>}
      {!journal && s.why === "no root" && <span className="warn" title="Its root span has not arrived: it may go on, or the root was lost.">no root span</span>}
      <Family run={run} />
      {more && <MoreFacts run={run} />}
      <button className="link" aria-expanded={more} onClick={() => setMore(!more)}>{more ? "less" : "more"}</button>
    </div>
  );
}

function MoreFacts({ run }: { run: Run }) {
  const { id } = useRun();
  const s = run.summary;
  return (
    <>
      <span className="mono" title={id}>{shortRun(id)} <Copy text={id} what="the run's id" /></span>
      {s.service && s.model && <span title="Service"><Line text={s.service} most={60} /></span>}
      {s.source !== "tacho" && s.tokens.input + s.tokens.output > 0 && <span title={`${integer(s.tokens.input)} in, ${integer(s.tokens.cached)} of them cached; ${integer(s.tokens.output)} out`}>{compact(s.tokens.input)} → {compact(s.tokens.output)} tokens</span>}
      <span><b>{integer(s.agents)}</b> {s.agents === 1 ? "agent" : "agents"}</span>
      {run.sandbox && run.sandbox !== "off" && <span>sandbox tier {run.sandbox}</span>}
      {s.shipped !== undefined && s.entries !== undefined && <span title="Entries that ClickHouse has, of all">shipped {integer(s.shipped)} of {integer(s.entries)}</span>}
    </>
  );
}

function Family({ run }: { run: Run }) {
  const parent = run.summary.parent;
  return (
    <>
      {parent && <span>fork of <Link to={`/runs/${parent.run}/transcript?seq=${parent.seq}`} className="mono">{shortRun(parent.run)}</Link> after entry {integer(parent.seq)}</span>}
      {run.forks.length > 0 && (
        <span className="row">forks: {run.forks.slice(0, 4).map((f) => (
          <Link key={f.id} to={`/runs/${f.id}`} className="mono" title={`after entry ${f.seq}, started ${moment(f.started_at)}`}>{shortRun(f.id)} ({f.status})</Link>
        ))}{run.forks.length > 4 && ` and ${run.forks.length - 4} more`}</span>
      )}
    </>
  );
}

function Verified({ run }: { run: Run }) {
  const { id } = useRun();
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<string>();
  const v = run.verification;
  const stale = v !== undefined && v.entries < (run.summary.entries ?? 0);
  const verify = async () => {
    setBusy(true);
    setFailed(undefined);
    try {
      const report: Verification = await verifyRun(id);
      amend<Run>("run/" + id, (r) => ({ ...r, verification: report }));
    } catch (cause) {
      setFailed(cause instanceof Error ? cause.message : String(cause));
    }
    setBusy(false);
  };
  return (
    <span className="row">
      {v && <Link to={`/runs/${id}/audit`}><Badge {...verdictLook(v.verdict)} title={`${moment(v.at)}: ${v.entries} entries, ${v.heads} signed heads`} /></Link>}
      {stale && <span className="faint">{integer(v.entries)} of {integer(run.summary.entries)} entries</span>}
      {(!v || stale) && <button className="button small" onClick={() => void verify()} disabled={busy}>{busy ? "Verifying…" : v ? "Verify again" : "Verify"}</button>}
      {failed && <span className="bad" role="alert">{failed}</span>}
    </span>
  );
}

function Budgets({ run }: { run: Run }) {
  const { usage: u, limits: l = {} } = run;
  if (!u) return null;
  const dollarsOf = (n: number) => dollars(String(n));
  return (
    <div className="budgets">
      <Meter label="Steps" used={u.steps} limit={l.steps} show={(n) => integer(n)} />
      <Meter label={u.estimated_tokens ? "Tokens (partly estimated)" : "Tokens"} used={u.tokens.input + u.tokens.output} limit={l.tokens} show={compact} />
      {l.cost_usd !== undefined && u.cost.usd !== undefined
        ? <Meter label={u.cost.known === "at_least" ? "Cost (at least)" : "Cost"} used={Number(u.cost.usd)} limit={Number(l.cost_usd)} show={dollarsOf} />
        : <div className="budget"><div className="row"><span>Cost</span><b><Money cost={u.cost} /></b></div><div className="nolimit">{l.cost_usd ? `limit ${dollars(l.cost_usd)}` : "no limit"}</div></div>}
      <Meter label="Active time" used={u.active_seconds} limit={l.seconds} show={(n) => duration(n * 1000)} />
    </div>
  );
}

type Act = (work: () => Promise<Agent>) => Promise<boolean>;

/** Does what was asked for. What the server then answers is shown at once; nothing is shown that it has not said. */
function useAct(): { act: Act; busy: boolean; error: Problem | undefined } {
  const { id, reload } = useRun();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Problem>();
  const act: Act = async (work) => {
    setBusy(true);
    setError(undefined);
    try {
      const { status, why, held_calls } = await work();
      amend<Run>("run/" + id, (r) => ({ ...r, summary: { ...r.summary, status, why }, held_calls: r.held_calls.filter((c) => held_calls.includes(c.call)) }));
      return true;
    } catch (cause) {
      setError(cause instanceof Problem ? cause : new Problem("internal", 0, "Error in this page", String(cause)));
      return false;
    } finally {
      setBusy(false);
      reload();
    }
  };
  return { act, busy, error };
}

const STOPPING = { asked: "It stops. A call under way may go on for ten seconds; then it is killed.", now: "It stops. What is under way is killed." };

function Steering({ run }: { run: Run }) {
  const { id, newest } = useRun();
  const about = useResource("about", getAbout, true);
  const { act, busy, error } = useAct();
  const [stopping, setStopping] = useState(false);
  const navigate = useNavigate();
  const [search] = useSearchParams();
  const may = about.data?.runs !== false;
  const status = run.summary.status;
  const ended = hasEnded(status);
  const can = { pause: may && !ended && status !== "paused" && !run.stop, resume: may && status === "paused" && !run.stop, stop: may && !ended && run.stop !== "now" };
  const steer = (verb: "pause" | "resume") => { if (!busy) void act(() => steerRun(id, verb)); };
  useKeys({
    p: () => { if (can.pause) steer("pause"); else if (can.resume) steer("resume"); },
    x: () => { if (can.stop) setStopping(true); },
  });
  return (
    <div className="stack steering">
      <div className="row">
        {can.pause && <button className="button" disabled={busy} title="Nothing new begins until it is resumed (p)" onClick={() => steer("pause")}>Pause</button>}
        {can.resume && <button className="button primary" disabled={busy} title="It goes on (p)" onClick={() => steer("resume")}>Resume</button>}
        {can.stop && <button className="button danger" disabled={busy} title="End the run; asks first (x)" onClick={() => setStopping(true)}>{run.stop ? "Kill now…" : "Stop…"}</button>}
        {may && <button className="button" onClick={() => void navigate(`/runs/${id}/fork?seq=${encodeURIComponent(search.get("seq") ?? String(newest))}`)}>Fork…</button>}
      </div>
      {!ended && run.stop && <p className="quiet" role="status">{STOPPING[run.stop]}</p>}
      {error && <ErrorNotice error={error} />}
      {stopping && <StopDialog asked={run.stop !== undefined} stop={(now) => void act(() => steerRun(id, "stop", { now }))} close={() => setStopping(false)} />}
    </div>
  );
}

/** Cancel has the focus: Enter on a dialog that somebody opened by a key ends nothing. */
function StopDialog({ asked, stop, close }: { asked: boolean; stop: (now: boolean) => void; close: () => void }) {
  return (
    <Dialog title="Stop the run" onClose={close}>
      <form method="dialog" onSubmit={(e) => { const how = (e.nativeEvent as SubmitEvent).submitter?.getAttribute("value"); if (how) stop(how === "now"); }}>
        <h2>{asked ? "Kill what is under way?" : "Stop this run?"}</h2>
        <p className="quiet">{asked
          ? "The run was asked to stop and waits for its call. Killed now, the call may have done half of what it does."
          : "It ends and cannot be resumed; you can still fork it from any step. A call that is under way may go on for ten seconds, unless it is killed."}</p>
        <div className="actions">
          <button className="button" formNoValidate>Cancel</button>
          <button className="button danger" value="now">Kill now</button>
          {!asked && <button className="button primary" value="asked">Stop</button>}
        </div>
      </form>
    </Dialog>
  );
}

const WHY: Record<HeldCall["why"], string> = {
  policy: "Policy wants a person to decide.",
  doubt: "It may have happened already, before the process died. Approve to run it again.",
  alarm: "An alarm holds the agents.",
};

function Held({ call, first }: { call: HeldCall; first: boolean }) {
  const { id } = useRun();
  const { act, busy, error } = useAct();
  const [reason, setReason] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const [asked, setAsked] = useState<"approve" | "deny">();
  useKeys(first ? { a: () => field.current?.focus() } : {});
  const answer = async (decision: "approve" | "deny") => {
    setAsked(decision);
    if (!(await act(() => answerCall(id, call.call, decision, reason.trim())))) setAsked(undefined);
  };
  const reasons = call.reasons ?? [];
  return (
    <section className="notice warn heldbar" aria-label={`Call ${call.call} waits for you`}>
      <div className="grow stack">
        <div className="row wrap">
          <b>Waits for you:</b> <span className="mono">{call.tool}</span> <Effect effect={call.effect} scope={call.scope} />
          <Line text={call.summary ?? ""} className="mono clip" most={160} />
          <Link to={`/runs/${id}/transcript?seq=${call.call}`}>entry {call.call}</Link>
        </div>
        <div><b>Why it is held: </b>{reasons.length > 0 ? reasons.map((r, i) => <span key={i} className="foreign heldreason"><Line text={r} most={1000} /> </span>) : <span>{WHY[call.why] ?? call.why}</span>}</div>
        {reasons.length > 0 && call.why !== "policy" && <div className="quiet">{WHY[call.why]}</div>}
        {call.intent && <div><b>What the agent says it is for: </b><Line text={call.intent.text} most={600} /></div>}
        {call.until && <div className="quiet">Nobody’s answer by {moment(call.until)} refuses it.</div>}
        <details open><summary>Arguments</summary><Args run={id} text={call.args} lines={10} /></details>
        <form className="row wrap" onSubmit={(e) => e.preventDefault()}>
          <input ref={field} className="field grow" value={reason} maxLength={4000} disabled={busy} onChange={(e) => setReason(e.target.value)} placeholder={first ? "Reason, kept in the journal (a)" : "Reason, kept in the journal"} aria-label="Reason" />
          <button type="button" className="button danger" disabled={busy} onClick={() => void answer("deny")}>{busy && asked === "deny" ? "Denying…" : "Deny"}</button>
          <button type="button" className="button primary" disabled={busy} onClick={() => void answer("approve")}>{busy && asked === "approve" ? "Approving…" : "Approve"}</button>
        </form>
        {error && <ErrorNotice error={error} />}
      </div>
    </section>
  );
}
