// Two runs side by side, from where they part: a fork and what it came from.
import { useState } from "react";
import { Link, useSearchParams } from "react-router";
import { compareRuns, getPatch, getTranscript } from "../api/client";
import { useResource } from "../api/resource";
import type { CompareCell, Comparison, GivenResult, RunSummary, Usage } from "../api/words";
import { compact, dollars, duration, integer, shortRun } from "../lib/format";
import { modelName } from "../lib/names";
import { Args } from "../parts/Args";
import { DiffView } from "../parts/DiffView";
import { Line } from "../parts/Foreign";
import { GivenTurn } from "../parts/GivenTurn";
import { CallStatus, DeltaMark, Money, RunStatus } from "../parts/Marks";
import { Empty, ErrorNotice, Skeleton } from "../parts/Notice";
import { TextBlock } from "../parts/TextBlock";
import { useRun, useRunEvents } from "./context";
import { useSoon } from "./soon";

export function CompareView() {
  const { id, run } = useRun();
  const [search] = useSearchParams();
  const other = search.get("with") ?? run.summary.parent?.run;
  const got = useResource(other ? `compare/${other}/${id}` : null, (signal) => compareRuns(other ?? "", id, signal));
  const soon = useSoon(got.reload, 1000);
  useRunEvents({ entry: (e) => { if (/^(model\.answered|call\.ended|run\.ended)/.test(e.kind)) soon(); } });
  if (!other) return <Empty title="Compare with which run?"><p>This run is no fork. Open a fork of it and choose <em>Compare</em> there, or add <code>?with=RUN</code> to the address.</p></Empty>;
  if (got.data) return <Compared c={got.data} error={got.error && <ErrorNotice error={got.error} retry={got.reload} />} />;
  if (got.error) return <div className="page narrow"><ErrorNotice error={got.error} retry={got.reload} /></div>;
  return <div key="waiting" className="story waiting"><Skeleton lines={10} /></div>;
}

function Compared({ c, error }: { c: Comparison; error: React.ReactNode }) {
  const isParent = c.b.parent?.run === c.a.id;
  const names = { a: isParent ? "Parent" : "One", b: isParent ? "Fork" : "Other" };
  return (
    <div className="scroll"><div className="page compared">
      {error}
      <Spent c={c} names={names} />
      <Given c={c} names={names} />
      <section className="panel">
        <header><h2>What happened after they part</h2>{c.cut && <span className="warn">only the first {integer(c.rows.length)} on each side are shown</span>}</header>
        {c.rows.length === 0 ? <p className="body quiet">Nothing yet on either side.</p> : (
          <table className="table compare">
            <thead><tr><th>{names.a} <span className="mono faint">{shortRun(c.a.id)}</span></th><th>{names.b} <span className="mono faint">{shortRun(c.b.id)}</span></th></tr></thead>
            <tbody>{c.rows.map((r, i) => <Row key={i} c={c} row={r} first={!r.same && c.rows.slice(0, i).every((x) => x.same)} />)}</tbody>
          </table>
        )}
      </section>
      <section className="panel">
        <header><h2>Files at the two ends</h2><span className="faint">{integer(c.files_total)} {c.files_total === 1 ? "differs" : "differ"}; − {names.a.toLowerCase()}, + {names.b.toLowerCase()}</span></header>
        <div className="body">{c.files_total === 0 ? <p className="quiet">Their files are the same.</p> : <FilesBetween c={c} />}</div>
      </section>
    </div></div>
  );
}

const USED: [string, (u: Usage) => number, (n: number) => string][] = [
  ["Steps", (u) => u.steps, integer], ["Calls", (u) => u.calls, integer], ["Tokens in", (u) => u.tokens.input, compact],
  ["Tokens out", (u) => u.tokens.output, compact], ["Active time", (u) => u.active_seconds * 1000, duration],
];

/** How each ended and what it used since they part, with the difference. */
function Spent({ c, names }: { c: Comparison; names: { a: string; b: string } }) {
  const sides: [string, RunSummary, Usage][] = [[names.a, c.a, c.spent_a], [names.b, c.b, c.spent_b]];
  return (
    <section className="panel">
      <header><h2>{names.a} and {names.b.toLowerCase()}</h2>{c.common && <span className="faint">what each used after entry {integer(c.common.seq)} of <Link to={`/runs/${c.common.run}/transcript?seq=${c.common.seq}`} className="mono">{shortRun(c.common.run)}</Link>, where they part</span>}</header>
      <div className="tablewrap">
        <table className="table spent">
          <thead><tr><th><span className="hidden">Which</span></th><th>Run</th><th>Model</th>{USED.map(([name]) => <th key={name} className="num">{name}</th>)}<th className="num">Cost</th></tr></thead>
          <tbody>
            {sides.map(([name, run, used]) => (
              <tr key={name}><th scope="row">{name}</th><td><Side run={run} /></td><td className="clip" title={run.model}><Line text={modelName(run.model)} most={60} /></td>
                {USED.map(([what, of, say]) => <td key={what} className="num">{say(of(used))}</td>)}<td className="num"><Money cost={used.cost} /></td></tr>
            ))}
            <tr><th scope="row">Difference</th><td /><td>{c.a.model === c.b.model ? <span className="faint">same</span> : "another"}</td>
              {USED.map(([what, of, say]) => <td key={what} className="num"><Difference by={of(c.spent_b) - of(c.spent_a)} say={say} /></td>)}<td className="num"><CostDifference a={c.spent_a} b={c.spent_b} /></td></tr>
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Side({ run }: { run: RunSummary }) {
  return <span className="row"><Link to={`/runs/${run.id}`} className="mono">{shortRun(run.id)}</Link><RunStatus status={run.status} why={run.why} /></span>;
}

/** More is no better or worse by itself, so it has no colour. */
function Difference({ by, say }: { by: number; say: (n: number) => string }) {
  if (by === 0) return <span className="faint">same</span>;
  return <>{by > 0 ? "+" : "−"}{say(Math.abs(by))}</>;
}

function CostDifference({ a, b }: { a: Usage; b: Usage }) {
  if (a.cost.known !== "exact" || b.cost.known !== "exact") return <span className="faint">unknown</span>;
  return <Difference by={Number(b.cost.usd) - Number(a.cost.usd)} say={(n) => dollars(String(n))} />;
}

function Given({ c, names }: { c: Comparison; names: { a: string; b: string } }) {
  const parent = c.b.parent?.run ?? c.a.id;
  const nothing = !c.given_message && !c.given_turn && !c.given_results?.length && c.spec.length === 0;
  return (
    <section className="panel">
      <header><h2>What was changed</h2>{c.by && <span className="faint">by <Line text={c.by.text} most={80} /></span>}</header>
      <div className="body stack">
        {c.given_results?.map((r) => <GivenRow key={r.call} given={r} fork={c.b.id} parent={parent} />)}
        {c.given_message && <div><h3>A message</h3><TextBlock run={c.b.id} text={c.given_message} mono={false} /></div>}
        {c.given_turn && <div><h3>The model’s turn was given</h3><GivenTurn run={c.b.id} text={c.given_turn} /></div>}
        {c.spec.length > 0 && <div className="tablewrap"><table className="table"><thead><tr><th>Field of the spec</th><th>{names.a}</th><th>{names.b}</th></tr></thead><tbody>{c.spec.map((f) => <tr key={f.field}><td className="mono"><Line text={f.field} /></td><td className="mono"><Line text={plainValue(f.a)} /></td><td className="mono"><Line text={plainValue(f.b)} /></td></tr>)}</tbody></table></div>}
        {nothing && <p className="quiet">Nothing was set differently.</p>}
      </div>
    </section>
  );
}

/** A field's JSON as a person writes it. */
function plainValue(json: string | undefined): string {
  if (json === undefined) return "–";
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "string" ? value : json;
  } catch {
    return json; // it is cut
  }
}

function GivenRow({ given, fork, parent }: { given: GivenResult; fork: string; parent: string }) {
  return (
    <div className="stack">
      <h3>The result of <Link to={`/runs/${parent}/transcript?seq=${given.call}`}>call {integer(given.call)}</Link> {given.tool && <span className="mono"><Line text={given.tool} most={60} /></span>} {given.summary && <span className="mono quiet"><Line text={given.summary} most={120} /></span>}</h3>
      <div className="two">
        <div><span className="label">Recorded</span><div className="box">{given.was ? <TextBlock run={parent} text={given.was} lines={12} /> : <span className="quiet">none: the call had not ended</span>}</div></div>
        <div><span className="label">Told instead</span><div className="box">{given.text && <TextBlock run={fork} text={given.text} lines={12} />}</div></div>
      </div>
    </div>
  );
}

function Row({ c, row, first }: { c: Comparison; row: Comparison["rows"][number]; first: boolean }) {
  const [open, setOpen] = useState(false);
  const toggle = (e: React.MouseEvent) => { if (!(e.target as Element).closest("a, button, summary, pre") && !getSelection()?.toString()) setOpen(!open); };
  return (
    <>
      {first && <tr className="parting"><td colSpan={2}>They differ from here on</td></tr>}
      <tr className={row.same ? "same" : ""} onClick={toggle}>
        <td>{row.a && <Cell run={c.a.id} cell={row.a} open={open} toggle={() => setOpen(!open)} />}</td>
        <td>{row.b && <Cell run={c.b.id} cell={row.b} open={open} toggle={() => setOpen(!open)} />}</td>
      </tr>
      {open && <tr className="opened"><td>{row.a && <Whole run={c.a.id} cell={row.a} />}</td><td>{row.b && <Whole run={c.b.id} cell={row.b} />}</td></tr>}
    </>
  );
}

function Cell({ run, cell, open, toggle }: { run: string; cell: CompareCell; open: boolean; toggle: () => void }) {
  const turn = cell.type === "turn";
  return (
    <div className={"row cell " + cell.type}>
      <button className="link" aria-expanded={open} aria-label={`${open ? "Hide" : "Show"} the whole of entry ${cell.seq}`} onClick={toggle}>{open ? "▾" : "▸"}</button>
      <Link to={`/runs/${run}/transcript?seq=${cell.seq}`} className="mono faint">{cell.seq}</Link>
      {turn ? <span className="grow clip">{cell.summary ? <Line text={cell.summary} most={200} /> : <span className="faint">the model only calls</span>}</span>
        : <><span className="mono strong"><Line text={cell.tool} most={40} /></span><Line text={cell.summary ?? ""} className="mono clip grow quiet" most={200} /></>}
      <DeltaMark delta={cell.delta} />{(!turn || cell.status !== "ok") && <CallStatus status={cell.status} />}
    </div>
  );
}

/** What the model said, or what a call was asked and answered, read when somebody looks. */
function Whole({ run, cell }: { run: string; cell: CompareCell }) {
  const got = useResource(`item/${run}/${cell.seq}`, (signal) => getTranscript(run, { from: cell.seq, limit: 1 }, signal));
  if (got.error) return <ErrorNotice error={got.error} retry={got.reload} />;
  const item = got.data?.items[0];
  if (!item) return <Skeleton lines={3} />;
  return (
    <div className="stack">
      {item.turn?.thought && item.turn.thought.size > 0 && <div className="thinks"><TextBlock run={run} text={item.turn.thought} lines={6} mono={false} /></div>}
      {item.turn?.message && <TextBlock run={run} text={item.turn.message} lines={20} mono={false} />}
      {item.call && <><span className="label">Arguments</span><div className="box"><Args run={run} text={item.call.args} /></div></>}
      {item.call?.result && <><span className="label">Result</span><div className="box"><TextBlock run={run} text={item.call.result} lines={12} /></div></>}
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
