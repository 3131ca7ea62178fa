// One piece of the story: a turn of the model, a call, or what happened to the run itself.
import { memo, useState } from "react";
import { Link } from "react-router";
import type { Call, Event, Item, Start, Turn } from "../api/words";
import { clock, compact, duration, instant, integer, shortRun } from "../lib/format";
import { modelName } from "../lib/names";
import { Foreign, Line } from "../parts/Foreign";
import { CallStatus, Decision, DeltaMark, Effect, Money } from "../parts/Marks";
import { TextBlock } from "../parts/TextBlock";
import { CallPatch } from "./CallPatch";
import { useRun } from "./context";

interface Props {
  item: Item;
  before: Item | undefined;
  selected: boolean;
  choose: (seq: number) => void;
}

export const StoryItem = memo(function StoryItem({ item, before, selected, choose }: Props) {
  const newStep = item.type === "turn" || (item.step !== undefined && (item.step !== before?.step || item.agent !== before.agent) && item.type === "call");
  return (
    <article
      className="storyitem" aria-selected={selected} aria-label={`Entry ${item.seq}`} tabIndex={0}
      onFocus={(e) => { if (e.target === e.currentTarget && e.currentTarget.matches(":focus-visible")) choose(item.seq); }}
      onClick={(e) => { if (!(e.target as Element).closest("a, button, summary") && !getSelection()?.toString()) choose(item.seq); }}
    >
      {newStep && <StepHead item={item} />}
      {item.start && <StartItem item={item} start={item.start} />}
      {item.turn && <TurnItem turn={item.turn} seq={item.seq} />}
      {item.call && <CallItem item={item} call={item.call} />}
      {item.event && <EventItem item={item} event={item.event} />}
    </article>
  );
});

function StepHead({ item }: { item: Item }) {
  const turn = item.turn;
  const took = turn?.answered_at ? (instant(turn.answered_at) ?? 0) - (instant(item.time) ?? 0) : null;
  return (
    <div className="stephead">
      <span><b>{item.agent !== "/" && item.agent !== "" && <><Line text={item.agent} most={60} /> · </>}{item.step === undefined ? "Model call" : `Step ${item.step}`}</b></span>
      {turn && <span title={turn.model}><Line text={modelName(turn.model)} most={50} /></span>}
      {turn && turn.attempt > 1 && <span className="warn">attempt {turn.attempt}</span>}
      {turn?.tokens && <span title={`${integer(turn.tokens.input)} in, ${integer(turn.tokens.cached)} of them cached; ${integer(turn.tokens.output)} out`}>{compact(turn.tokens.input)} → {compact(turn.tokens.output)} tokens{turn.estimated ? " (estimated)" : ""}</span>}
      {turn?.cost && turn.cost.known !== "unknown" && <span><Money cost={turn.cost} /></span>}
      {took !== null && <span>{duration(took)}</span>}
      <time dateTime={item.time} title={item.time}>{clock(item.time)}</time>
    </div>
  );
}

function StartItem({ item, start }: { item: Item; start: Start }) {
  const { id } = useRun();
  return (
    <div className="card">
      <div className="callhead"><span className="seq">{item.seq}</span><b>Run started</b><span className="quiet"><Line text={modelName(start.model)} /> · sandbox {start.sandbox === "off" ? <b className="bad">off</b> : `tier ${start.sandbox}`}</span></div>
      {start.parent && <p className="says">Fork of <Link to={`/runs/${start.parent.run}/transcript?seq=${start.parent.seq}`} className="mono">{shortRun(start.parent.run)}</Link> after entry {start.parent.seq}{start.by && <> by <Line text={start.by.text} most={80} /></>}. <Link to={`/runs/${id}/compare?with=${start.parent.run}`}>Compare the two</Link></p>}
      <div className="says"><TextBlock run={id} text={start.goal} lines={10} mono={false} /></div>
      {start.given_results?.map((r) => (
        <div key={r.call} className="says"><h3>The model is told another result of <Link to={`/runs/${start.parent?.run ?? id}/transcript?seq=${r.call}`}>call {r.call}</Link></h3>{r.text && <TextBlock run={id} text={r.text} lines={6} chars={1500} />}<p className="quiet">The files are as the parent had them.</p></div>
      ))}
      {start.given_message && <div className="says"><h3>Message that the fork adds</h3><TextBlock run={id} text={start.given_message} mono={false} /></div>}
      {start.given_turn && <p className="says quiet">The fork gives the model’s next turn; it follows below.</p>}
    </div>
  );
}

const TURN_WORDS: Record<Turn["status"], string> = {
  asking: "The model is asked…", ok: "", given: "This turn was given by the fork; no model was asked.", failed: "The model gave no answer.", lost: "The process died while it asked; the question is asked again.",
};

function TurnItem({ turn, seq }: { turn: Turn; seq: number }) {
  const { id } = useRun();
  const word = TURN_WORDS[turn.status];
  return (
    <div className="plainturn">
      {turn.heard && <HeardList run={id} turn={turn} heard={turn.heard} />}
      {turn.unread !== undefined && <p className="faint">Its {integer(turn.unread)} log records are too many to be read here: what was told and said may be missing.</p>}
      {word && <div className="plainitem"><span className="seq">{seq}</span><span className={turn.status === "failed" || turn.status === "lost" ? "bad" : turn.status === "given" ? "warn" : "quiet"}>{word}</span></div>}
      {turn.error && <div className="says bad"><TextBlock run={id} text={turn.error} lines={6} /></div>}
      {turn.thought && turn.thought.size > 0 && <div className="thinks"><span className="hidden">Thought: </span><TextBlock run={id} text={turn.thought} lines={4} mono={false} /></div>}
      {turn.message && turn.message.size > 0 && <div className="says"><TextBlock run={id} text={turn.message} lines={24} chars={6000} mono={false} /></div>}
      {turn.asks?.map((ask, i) => (
        <div key={i} className="plainitem" title="The model asked for this call; no span of it arrived.">
          <span className="quiet">asks for</span><Line text={ask.tool} className="tool" most={60} /><Line text={ask.args.text} className="mono clip grow quiet" most={220} /><span className="faint nowrap">no span</span>
        </div>
      ))}
    </div>
  );
}

/** What the model of a foreign trace was told for this answer. */
function HeardList({ run, turn, heard }: { run: string; turn: Turn; heard: NonNullable<Turn["heard"]> }) {
  return (
    <div className="hears">
      {turn.heard_before !== undefined && <p className="faint">{integer(turn.heard_before)} earlier ones are left out here.</p>}
      {heard.map((h, i) => (
        <div key={i}><span className="faint"><Line text={h.tool ? `${h.role} ${h.tool}` : h.role || "told"} most={60} /></span><TextBlock run={run} text={h.text} lines={6} chars={1500} mono={h.role === "tool"} /></div>
      ))}
    </div>
  );
}

function CallItem({ item, call }: { item: Item; call: Call }) {
  const { id } = useRun();
  const [patch, setPatch] = useState(false);
  const decided = call.decision && call.decision.decision !== "allow" ? call.decision : undefined;
  return (
    <div className="card">
      {call.intent && call.intent.text && <p className="callwhy foreign"><Foreign text={call.intent.text.slice(0, 600)} /></p>}
      <div className="callhead">
        <span className="seq">{item.seq}</span>
        <Line text={call.index < 0 ? "check" : call.tool} className="tool" most={60} />
        <Line text={call.summary ?? ""} className="mono clip grow quiet" most={220} />
        <DeltaMark delta={call.delta} />
        {call.delta && call.delta.files > 0 && call.ended_seq !== undefined && <button className="link" aria-expanded={patch} onClick={() => setPatch(!patch)}>{patch ? "Hide diff" : "Diff"}</button>}
        {call.effect && <Effect effect={call.observed ?? call.effect} scope={call.scope ?? "scope unknown"} />}
        {call.duration_us !== undefined && <span className="faint nowrap">{duration(call.duration_us / 1000)}</span>}
        <CallStatus status={call.exit ? `${call.status} ${call.exit}` : call.status} />
      </div>
      {(decided || call.answer) && (
        <p className="plainitem decided">
          {decided && <span>Policy: <Decision decision={decided.decision} /> {decided.reasons.map((r, i) => <span key={i} className="quiet heldreason"><Line text={r} /></span>)}</span>}
          {call.answer && <span className={call.answer.answer === "approved" ? "good" : "bad"}>{call.answer.answer}{call.answer.by && <> by <Line text={call.answer.by.text} most={80} /></>}{call.answer.reason && <>: <Line text={call.answer.reason.text} /></>}</span>}
        </p>
      )}
      {patch && <div className="callbody"><CallPatch call={call} /></div>}
      {call.result && call.result.size > 0 && <div className={"callbody" + (call.status === "denied" || call.status === "refused" ? " denied" : "")}><TextBlock run={id} text={call.result} lines={6} chars={1500} /></div>}
    </div>
  );
}

function EventItem({ item, event }: { item: Item; event: Event }) {
  const tone = /^(alarm|run\.ended)/.test(event.kind) && !/done/.test(event.title) ? "bad" : /^(paused|stopped|rolledback|recovered|alarm)/.test(event.kind) ? "warn" : "quiet";
  return (
    <div className="plainitem">
      <span className="seq">{item.seq}</span>
      <span className={tone}>{event.title}</span>
      {event.to !== undefined && <Link to={`?seq=${event.to}`}>entry {event.to}</Link>}
      <span className="quiet clip grow">{event.detail && <Line text={event.detail.text} />}{event.by && <> by <Line text={event.by.text} most={80} /></>}</span>
      <DeltaMark delta={event.delta} />
      <time className="faint nowrap" dateTime={item.time} title={item.time}>{clock(item.time)}</time>
    </div>
  );
}
