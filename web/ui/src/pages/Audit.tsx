// Who decided what, what was signed, and whether all of it holds.
import { useState } from "react";
import { Link, useSearchParams } from "react-router";
import { getAudit, Problem, verifyRun } from "../api/client";
import { amend, useResource } from "../api/resource";
import type { Audit, AuditKind, AuditRow, Head, Run, Verification } from "../api/words";
import { bytes, duration, integer, moment, short } from "../lib/format";
import { oneLine } from "../lib/hostile";
import { verdictLook } from "../lib/status";
import { Line } from "../parts/Foreign";
import { Badge, Copy, Decision, Effect } from "../parts/Marks";
import { ErrorNotice, Skeleton } from "../parts/Notice";
import { useRun, useRunEvents } from "./context";

const GROUPS: [string, AuditKind[]][] = [
  ["Decisions", ["decision", "hold", "approval", "refusal", "expiry", "policy"]],
  ["People and alarms", ["approval", "refusal", "pause", "resume", "stop", "alarm", "limit"]],
  ["Life of the run", ["start", "end", "recovery", "rollback", "pause", "resume", "stop", "limit"]],
  ["Snapshots", ["snapshot", "checkpoint"]],
];

export function AuditView() {
  const { id, run } = useRun();
  return (
    <div className="scroll"><div className="page">
      <Verify id={id} run={run} />
      <Rows id={id} />
    </div></div>
  );
}

function Verify({ id, run }: { id: string; run: Run }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Problem>();
  const v = run.verification;
  const verify = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const report = await verifyRun(id);
      amend<Run>("run/" + id, (r) => ({ ...r, verification: report }));
    } catch (cause) {
      setError(cause instanceof Problem ? cause : new Problem("internal", 0, "Error in this page", String(cause)));
    }
    setBusy(false);
  };
  return (
    <section className="panel" aria-label="Verification">
      <header>
        <h2>Verification</h2>
        {v && <Badge {...verdictLook(v.verdict)} />}
        {v && <span className="faint">{moment(v.at)}, took {duration(v.took_ms)}</span>}
        <span className="grow" />
        <button className="button primary" onClick={() => void verify()} disabled={busy}>{busy ? "Verifying…" : "Verify now"}</button>
      </header>
      <div className="body stack">
        {error && <ErrorNotice error={error} />}
        {v ? <Report report={v} entries={run.summary.entries ?? 0} /> : <p className="quiet">Not verified since this tacho started. “Verify now” reads everything and checks every byte, link, state, signed head, checkpoint and file.</p>}
      </div>
    </section>
  );
}

function Report({ report: v, entries }: { report: Verification; entries: number }) {
  const facts: [string, string][] = [
    ["Entries", `${integer(v.entries)}${v.entries < entries ? ` of ${integer(entries)}` : ""}`], ["States compared", integer(v.commitments)], ["Signed heads", integer(v.heads)],
    ["Under a trusted head", `${integer(v.covered)} entries`], ["Checkpoints", integer(v.checkpoints)], ["Contents", integer(v.contents)], ["Files and directories", integer(v.objects)], ["Read", bytes(v.bytes)],
  ];
  return (
    <>
      {v.findings.length > 0 && (
        <div className="notice bad" role="alert"><div><b>What is wrong</b><ul className="findings">{v.findings.map((f, i) => <li key={i}>{f.seq >= 0 && <Link to={`../transcript?seq=${f.seq}`} relative="path">entry {f.seq}</Link>} <Line text={f.what} most={1000} /></li>)}</ul></div></div>
      )}
      {v.verdict === "unsigned" && <p className="notice warn">Everything fits together, but no key that this tacho trusts signed it. Whoever could write the store could have written all of it. Add the signer’s key: <code>tacho verify RUN --key FILE</code>.</p>}
      <dl className="verdict">{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
      {v.erased > 0 && <p className="quiet">{integer(v.erased)} contents were erased on request; the proofs do not need them.</p>}
      {v.withheld > 0 && <p className="quiet">{integer(v.withheld)} files look like secrets: their hashes count, their bytes are not stored.</p>}
      <dl className="pairs">
        {v.root && <><dt>Merkle root</dt><dd className="hash">{v.root} <Copy text={v.root} what="the root" /></dd></>}
        {v.state && <><dt>State</dt><dd className="hash">{v.state}</dd></>}
        {v.signers.length > 0 && <><dt>Trusted signers</dt><dd className="mono">{v.signers.map((k) => <div key={k}><Line text={k} /></div>)}</dd></>}
        {v.unknown.length > 0 && <><dt>Unknown signers</dt><dd className="mono warn">{v.unknown.map((k) => <div key={k}><Line text={k} /></div>)}</dd></>}
      </dl>
    </>
  );
}

function Rows({ id }: { id: string }) {
  const [search, setSearch] = useSearchParams();
  const group = search.get("show") ?? "";
  const kinds = GROUPS.find(([name]) => name === group)?.[1] ?? [];
  const key = `audit/${id}/${group}`;
  const audit = useResource(key, (signal) => getAudit(id, 0, kinds, signal));
  const [error, setError] = useState<Problem>();
  const heads = useResource(`audit/${id}/`, (signal) => getAudit(id, 0, [], signal));
  useRunEvents({ entry: (e) => { if (/^(call\.(decided|held|approved|refused|expired)|run|paused|resumed|stopped|snapshot|recovered|rolledback)/.test(e.kind)) { audit.reload(); if (group) heads.reload(); } } });
  const more = async () => {
    if (audit.data?.next === undefined) return;
    try {
      const page = await getAudit(id, audit.data.next, kinds);
      amend<Audit>(key, (a) => { const { next: _, ...rest } = a; return { ...rest, rows: [...a.rows, ...page.rows], ...(page.next === undefined ? {} : { next: page.next }) }; });
    } catch (cause) {
      if (cause instanceof Problem) setError(cause);
    }
  };
  return (
    <>
      <section className="panel" aria-label="Decisions">
        <header>
          <h2>What was decided, and what happened to the run</h2>
          <span className="grow" />
          <div className="segmented" role="group" aria-label="Show">
            {["", ...GROUPS.map(([name]) => name)].map((name) => <button key={name} aria-pressed={group === name} onClick={() => setSearch((s) => { const n = new URLSearchParams(s); if (name) n.set("show", name); else n.delete("show"); return n; }, { replace: true })}>{name || "All"}</button>)}
          </div>
        </header>
        {audit.error ? <ErrorNotice error={audit.error} retry={audit.reload} /> : !audit.data ? <div className="body"><Skeleton lines={6} /></div> : audit.data.rows.length === 0 ? <p className="body quiet">Nothing of this kind in the journal.</p> : <AuditTable id={id} rows={audit.data.rows} />}
        {error && <ErrorNotice error={error} />}
        {audit.data?.next !== undefined && <div className="more"><button className="button" onClick={() => void more()}>More</button></div>}
      </section>
      {audit.data && heads.data && <Heads heads={heads.data.heads} total={heads.data.heads_total ?? 0} />}
    </>
  );
}

/** Whether what was allowed was allowed for reasons that stand above already: policy says the same of most calls. */
function repeats(rows: readonly AuditRow[]): boolean[] {
  const told = new Set<string>();
  return rows.map((r) => {
    const why = JSON.stringify([r.reasons, r.policies]);
    const again = r.decision === "allow" && told.has(why);
    told.add(why);
    return again;
  });
}

function AuditTable({ id, rows }: { id: string; rows: readonly AuditRow[] }) {
  const again = repeats(rows);
  return (
    <table className="table audit">
      <colgroup><col className="c-num" /><col className="c-cost" /><col className="c-kind" /><col className="c-kind" /><col /><col className="c-cost" /></colgroup>
      <thead><tr><th>Entry</th><th>Time</th><th>What</th><th>Who</th><th>About</th><th>Hash</th></tr></thead>
      <tbody>
        {rows.map((r, i) => (
          <tr key={`${r.seq} ${r.kind}`}>
            <td><Link to={`/runs/${id}/transcript?seq=${r.call ?? r.seq}`} className="mono">{r.seq}</Link></td>
            <td className="nowrap quiet" title={r.time}>{moment(r.time).slice(11)}</td>
            <td>{r.decision ? <Decision decision={r.decision} /> : <span className={tone(r.kind)}>{r.kind}</span>}</td>
            <td className="clip">{r.by ? <Line text={r.by.text} most={80} /> : r.engine ? <span className="quiet">policy ({r.engine})</span> : <span className="quiet">{r.agent === "/" ? "run" : r.agent}</span>}</td>
            <td><About row={r} again={again[i] === true} /></td>
            <td className="hash nowrap" title={r.hash}>{short(r.hash, 10)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function tone(kind: AuditKind): string {
  if (kind === "approval") return "good";
  if (kind === "refusal" || kind === "expiry" || kind === "alarm") return "bad";
  return kind === "hold" || kind === "recovery" || kind === "rollback" || kind === "stop" ? "warn" : "quiet";
}

function About({ row: r, again }: { row: AuditRow; again: boolean }) {
  return (
    <div className="stack tight">
      {r.tool && <div className="row"><Line text={r.tool} className="mono strong" most={60} />{r.effect && <Effect effect={r.effect} scope={r.scope ?? ""} />}<Line text={r.summary ?? ""} className="mono clip quiet" most={200} /></div>}
      {!r.tool && r.summary && <Line text={r.summary} />}
      {r.why && <span className="quiet">{r.why}{r.to !== undefined && ` ${r.to}`}</span>}
      {!again && (r.reasons ?? []).length > 0 && <span className="reasons quiet">{(r.reasons ?? []).map((x, i) => <Line key={i} text={x} />)}</span>}
      {r.reason && <Line text={r.reason.text} className="quiet" most={1000} />}
      {(r.policies ?? []).length > 0 && <span className="faint mono" title={again ? (r.reasons ?? []).map((x) => oneLine(x, 300)).join("\n") : undefined}><Line text={(r.policies ?? []).join(", ")} /></span>}
      {(r.errors ?? 0) > 0 && <span className="bad">{r.errors} policies in error</span>}
    </div>
  );
}

function Heads({ heads, total }: { heads: readonly Head[]; total: number }) {
  return (
    <section className="panel" aria-label="Signed heads">
      <header><h2>Signed heads</h2><span className="faint">{total > heads.length ? `the newest ${integer(heads.length)} of ${integer(total)}` : integer(total)}</span></header>
      {heads.length === 0 ? <p className="body quiet">None yet. The worker signs one at each snapshot, each minute and at the end.</p> : (
        <table className="table">
          <colgroup><col className="c-num" /><col className="c-time" /><col /><col /></colgroup>
          <thead><tr><th className="num">Entries</th><th /><th>Root</th><th>Signed by</th></tr></thead>
          <tbody>{heads.map((h, i) => (
            <tr key={i}>
              <td className="num">{integer(h.size)}</td>
              <td><Copy text={h.note} what="the signed note" /></td>
              <td className="hash clip" title={h.root}>{h.root}</td>
              <td>{h.signers.map((s, n) => <div key={n} className="row"><Line text={s.name} className="mono clip" most={80} /><span className="faint mono">{s.key}</span>{s.trusted ? <span className="good">trusted</span> : <span className="warn">not trusted</span>}</div>)}</td>
            </tr>
          ))}</tbody>
        </table>
      )}
    </section>
  );
}
