// Everything that is known of a step: for a call why, what, who let it happen, what came of it.
import type { ReactNode } from "react";
import { Link } from "react-router";
import type { Call, Event, Item, Start, Text, Turn } from "../api/words";
import { bytes, duration, integer, moment, short } from "../lib/format";
import { Args } from "../parts/Args";
import { Line } from "../parts/Foreign";
import { GivenTurn } from "../parts/GivenTurn";
import { CallStatus, Copy, Decision, DeltaMark, Effect, Money } from "../parts/Marks";
import { TextBlock } from "../parts/TextBlock";
import { CallPatch } from "./CallPatch";
import { useRun } from "./context";

export function ItemDetail({ item, forkAt, resultAt }: { item: Item; forkAt: number; resultAt: number }) {
  const { id, run } = useRun();
  const journal = run.summary.source === "tacho";
  return (
    <div className="scroll">
      <div className="detail">
        <div className="detailhead">
          <h2 className="grow clip">{headline(item)}</h2>
          <Copy text={`${location.origin}/runs/${id}/transcript?seq=${item.seq}`} what="a link to this step" word="Copy link" />
        </div>
        <div className="row wrap">
          {item.span && <Link className="button small" to={`/runs/${id}/timeline?span=${item.span}`}>Its span</Link>}
          {journal && <><Link className="button small" to={`/runs/${id}/state?seq=${item.last}`} title="Messages, files and budgets after this step (s)">State after it</Link>
          {item.type !== "start" && <Link className="button small" to={`/runs/${id}/fork?seq=${forkAt}${item.type === "turn" || item.type === "call" ? "&turn=1" : ""}`} title="Do this turn differently (f)">Change it and fork</Link>}
          {item.call && item.call.index >= 0 && item.call.ended_seq !== undefined && <Link className="button small" to={`/runs/${id}/fork?seq=${resultAt}&result=${item.seq}`} title="Tell the model something else of this call (r)">Change its result and fork</Link>}
          <Link className="button small" to={`/runs/${id}/fork?seq=${item.last}`} title="Go on from here in another way">Fork after it</Link></>}
        </div>
        {item.start && <StartDetail start={item.start} />}
        {item.turn && <TurnDetail turn={item.turn} />}
        {item.call && <CallDetail call={item.call} />}
        {item.event && <EventDetail event={item.event} />}
        <Pairs>
          {item.agent && <><dt>Agent</dt><dd className="mono"><Line text={item.agent} most={200} /></dd></>}
          <dt>{journal ? "Entries" : "Item"}</dt><dd>{item.last === item.seq ? integer(item.seq) : `${integer(item.seq)} to ${integer(item.last)}`}</dd>
          <dt>Time</dt><dd>{moment(item.time)}</dd>
        </Pairs>
        {/* Last, because it comes later than the rest, and what is read must not move. */}
        {item.call?.delta && item.call.delta.files > 0 && item.call.ended_seq !== undefined && <section className="section"><h3>Changed files</h3><CallPatch call={item.call} /></section>}
      </div>
    </div>
  );
}

function headline(item: Item): string {
  if (item.call) return item.call.index < 0 ? "Check of the spec" : `Call ${item.seq}: ${item.call.tool}`;
  if (item.turn) return item.step === undefined ? "Model call" : `Turn of step ${item.step}`;
  return item.event?.title ?? "Start of the run";
}

function Pairs({ children }: { children: ReactNode }) {
  return <dl className="pairs">{children}</dl>;
}

function Section({ title, text, lines = 30 }: { title: string; text: Text | undefined; lines?: number }) {
  const { id } = useRun();
  if (!text) return null;
  return <section className="section"><h3>{title} <span className="faint">{bytes(text.size)}</span></h3><div className="box"><TextBlock run={id} text={text} lines={lines} chars={4000} /></div></section>;
}

function StartDetail({ start }: { start: Start }) {
  const { id } = useRun();
  return <><Section title="Goal" text={start.goal} />{start.given_results?.map((r) => <Section key={r.call} title={`Result of the parent’s call ${r.call}, given by the fork`} text={r.text} />)}{start.given_turn && <section className="section"><h3>Turn given by the fork</h3><GivenTurn run={id} text={start.given_turn} /></section>}<Section title="Message given by the fork" text={start.given_message} /></>;
}

function TurnDetail({ turn }: { turn: Turn }) {
  const t = turn.tokens;
  return (
    <>
      <Pairs>
        <dt>Model</dt><dd><Line text={turn.model} /></dd>
        <dt>Answer</dt><dd>{turn.status}{turn.finish && `, ended by ${turn.finish}`}{turn.answered_at && `, ${moment(turn.answered_at)}`}</dd>
        {turn.messages !== undefined && <><dt>Asked with</dt><dd>{integer(turn.messages)} messages</dd></>}
        {t && <><dt>Tokens in</dt><dd>{integer(t.input)} ({integer(t.cached)} cached)</dd><dt>Tokens out</dt><dd>{integer(t.output)} ({integer(t.reasoning)} reasoning){turn.estimated && ", estimated"}</dd></>}
        {turn.cost && <><dt>Cost</dt><dd><Money cost={turn.cost} /></dd></>}
        {turn.calls !== undefined && <><dt>Asks for</dt><dd>{integer(turn.calls)} calls</dd></>}
        {turn.raw && <><dt>Provider’s answer</dt><dd className="hash">{short(turn.raw, 20)} <Copy text={turn.raw} what="its name" /></dd></>}
      </Pairs>
      <Section title="Thought" text={turn.thought} />
      <Section title="Message" text={turn.message} />
      <Section title="Error" text={turn.error} />
    </>
  );
}

function CallDetail({ call }: { call: Call }) {
  const { id } = useRun();
  const d = call.decision;
  return (
    <>
      <div className="row wrap"><CallStatus status={call.status} />{call.effect && <Effect effect={call.effect} scope={call.scope ?? "scope unknown"} />}{call.observed && call.observed !== call.effect && <span className="quiet">seen: {call.observed}</span>}<DeltaMark delta={call.delta} /></div>
      {call.intent && <section className="section"><h3>Why{call.intent_source === "derived" && " (derived)"}</h3><Line text={call.intent.text} most={1000} /></section>}
      {call.args.size > 0 && <section className="section"><h3>Arguments <span className="faint">{bytes(call.args.size)}</span></h3><div className="box"><Args run={id} text={call.args} /></div></section>}
      {d && (
        <section className="section">
          <h3>Decision</h3>
          <Pairs>
            <dt>Policy</dt><dd><Decision decision={d.decision} /> by {d.engine}, entry {integer(d.seq)}</dd>
            {d.reasons.length > 0 && <><dt>Reasons</dt><dd>{d.reasons.map((r, i) => <div key={i}><Line text={r} /></div>)}</dd></>}
            {d.policies.length > 0 && <><dt>Policies</dt><dd className="mono">{d.policies.map((p, i) => <div key={i}><Line text={p} /></div>)}</dd></>}
            {d.errors > 0 && <><dt>Errors</dt><dd className="bad">{d.errors} policies could not be evaluated: denied</dd></>}
            {call.hold && <><dt>Held</dt><dd>why: {call.hold.why}, since {moment(call.hold.since)}{call.hold.until && `, until ${moment(call.hold.until)}`}</dd></>}
            {call.answer && <><dt>Answer</dt><dd>{call.answer.answer}{call.answer.by && <> by <Line text={call.answer.by.text} /></>}{call.answer.reason && <>: <Line text={call.answer.reason.text} /></>}, {moment(call.answer.time)}</dd></>}
          </Pairs>
        </section>
      )}
      <Section title="What the model was told" text={call.result} />
      <Section title="Whole output" text={call.output} />
      <Section title="Targets" text={call.targets} lines={8} />
      <Pairs>
        {call.started_at && <><dt>Started</dt><dd>{moment(call.started_at)}{call.attempts > 1 && `, attempt ${call.attempts}`}</dd></>}
        {call.ended_at && <><dt>Ended</dt><dd>{moment(call.ended_at)}</dd></>}
        {call.duration_us !== undefined && <><dt>Took</dt><dd>{duration(call.duration_us / 1000)}</dd></>}
        {call.exit !== undefined && <><dt>Exit status</dt><dd>{call.exit}</dd></>}
        {call.effect && <><dt>May be repeated</dt><dd>{call.idempotent ? "yes" : "no"}</dd></>}
      </Pairs>
    </>
  );
}

function EventDetail({ event }: { event: Event }) {
  return (
    <>
      <Section title="Text" text={event.detail} />
      <Section title="By" text={event.by} />
      <Pairs>
        <dt>Kind</dt><dd className="mono">{event.kind}</dd>
        {event.state && <><dt>State</dt><dd className="hash">{short(event.state, 20)} <Copy text={event.state} what="the state's hash" /></dd></>}
        {event.root && <><dt>Files</dt><dd className="hash">{short(event.root, 20)} <Copy text={event.root} what="the files' root" /></dd></>}
      </Pairs>
    </>
  );
}
