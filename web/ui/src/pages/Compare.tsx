// Two runs side by side, from where they part: a fork and what it came from.
import { Link, useSearchParams } from "react-router";
import { compareRuns, getPatch } from "../api/client";
import { useResource } from "../api/resource";
import type { CompareCell, Comparison, RunSummary } from "../api/words";
import { compact, duration, instant, integer, shortRun } from "../lib/format";
import { modelName } from "../lib/names";
import { DiffView } from "../parts/DiffView";
import { Line } from "../parts/Foreign";
import { GivenTurn } from "../parts/GivenTurn";
import { CallStatus, DeltaMark, Money, RunStatus } from "../parts/Marks";
import { Empty, ErrorNotice, Skeleton } from "../parts/Notice";
import { TextBlock } from "../parts/TextBlock";
import { useRun } from "./context";

export function CompareView() {
  const { id, run } = useRun();
  const [search] = useSearchParams();
  const other = search.get("with") ?? run.summary.parent?.run;
  const got = useResource(other ? `compare/${other}/${id}` : null, (signal) => compareRuns(other ?? "", id, signal));
  if (!other) return <Empty title="Compare with which run?"><p>This run is no fork. Open a fork of it and choose <em>Compare</em> there, or add <code>?with=RUN</code> to the address.</p></Empty>;
  if (got.error) return <div className="page narrow"><ErrorNotice error={got.error} retry={got.reload} /></div>;
  if (!got.data) return <div className="story waiting"><Skeleton lines={10} /></div>;
  return <Compared c={got.data} />;
}

function Compared({ c }: { c: Comparison }) {
  return (
    <div className="scroll"><div className="page">
      <div className="two"><Side run={c.a} title={c.b.parent?.run === c.a.id ? "Parent" : "One"} /><Side run={c.b} title={c.b.parent?.run === c.a.id ? "Fork" : "Other"} /></div>
      <section className="panel">
        <header><h2>What was changed</h2>{c.common && <span className="faint">common up to entry {integer(c.common.seq)} of {shortRun(c.common.run)}</span>}</header>
        <div className="body stack">
          {c.given_message && <div><h3>A message</h3><TextBlock run={c.b.id} text={c.given_message} mono={false} /></div>}
          {c.given_turn && <div><h3>The model’s turn was given</h3><GivenTurn run={c.b.id} text={c.given_turn} /></div>}
          {c.spec.length > 0 && <table className="table"><thead><tr><th>Field of the spec</th><th>{shortRun(c.a.id)}</th><th>{shortRun(c.b.id)}</th></tr></thead><tbody>{c.spec.map((f) => <tr key={f.field}><td className="mono"><Line text={f.field} /></td><td className="mono"><Line text={f.a ?? "–"} /></td><td className="mono"><Line text={f.b ?? "–"} /></td></tr>)}</tbody></table>}
          {!c.given_message && !c.given_turn && c.spec.length === 0 && <p className="quiet">Nothing was set differently.</p>}
        </div>
      </section>
      <section className="panel">
        <header><h2>Calls after they part</h2>{c.cut && <span className="warn">only the first {integer(c.rows.length)} are shown</span>}</header>
        {c.rows.length === 0 ? <p className="body quiet">No calls on either side.</p> : (
          <table className="table compare">
            <thead><tr><th>{shortRun(c.a.id)}</th><th>{shortRun(c.b.id)}</th></tr></thead>
            <tbody>{c.rows.map((r, i) => <tr key={i} className={r.same ? "same" : ""}><td>{r.a && <Cell run={c.a.id} cell={r.a} />}</td><td>{r.b && <Cell run={c.b.id} cell={r.b} />}</td></tr>)}</tbody>
          </table>
        )}
      </section>
      <section className="panel">
        <header><h2>Files, from {shortRun(c.a.id)} to {shortRun(c.b.id)}</h2><span className="faint">{integer(c.files_total)} changed</span></header>
        <div className="body">{c.files_total === 0 ? <p className="quiet">Their files are the same.</p> : <FilesBetween c={c} />}</div>
      </section>
    </div></div>
  );
}

function Side({ run, title }: { run: RunSummary; title: string }) {
  const took = (instant(run.ended_at ?? run.last_at) ?? 0) - (instant(run.started_at) ?? 0);
  return (
    <section className="panel">
      <header><span className="quiet">{title}</span><Link to={`/runs/${run.id}`} className="mono">{shortRun(run.id)}</Link><RunStatus status={run.status} why={run.why} /></header>
      <dl className="verdict body">
        <div><dt>Steps</dt><dd>{integer(run.steps)}</dd></div><div><dt>Calls</dt><dd>{integer(run.calls)}</dd></div>
        <div><dt>Tokens</dt><dd>{compact(run.tokens.input + run.tokens.output)}</dd></div><div><dt>Cost</dt><dd><Money cost={run.cost} /></dd></div><div><dt>Took</dt><dd>{duration(took)}</dd></div>
        <div><dt>Model</dt><dd className="clip modelname" title={run.model}><Line text={modelName(run.model)} most={60} /></dd></div>
      </dl>
    </section>
  );
}

function Cell({ run, cell }: { run: string; cell: CompareCell }) {
  return (
    <div className="row">
      <Link to={`/runs/${run}/transcript?seq=${cell.seq}`} className="mono faint">{cell.seq}</Link>
      <Line text={cell.tool} className="mono strong" most={40} /><Line text={cell.summary ?? ""} className="mono clip grow quiet" most={200} />
      <DeltaMark delta={cell.delta} /><CallStatus status={cell.status} />
    </div>
  );
}

function FilesBetween({ c }: { c: Comparison }) {
  const to = Math.max(0, (c.b.entries ?? 1) - 1);
  const from = Math.max(0, (c.a.entries ?? 1) - 1);
  const patch = useResource(`between/${c.a.id}/${from}/${c.b.id}/${to}`, (signal) => getPatch(c.a.id, { from, with: c.b.id, to }, signal));
  if (patch.error) return <ErrorNotice error={patch.error} retry={patch.reload} />;
  if (!patch.data) return <Skeleton lines={6} />;
  return <DiffView patch={patch.data.text} truncated={patch.data.cut} />;
}
