// Small marks: a status, an effect with its scope, a change of files, a budget. A colour never says
// something that a word beside it does not say too.
import { useEffect, useState } from "react";
import type { Cost, Delta } from "../api/words";
import { ago, dollars, integer, moment } from "../lib/format";
import { callTone, decisionTone, effectTone, runLook, type Look, type Tone } from "../lib/status";

export function Badge({ tone, word, live = false, title }: Look & { title?: string }) {
  return <span className={"badge " + tone} title={title}><i className={"dot" + (live ? " live" : "")} />{word}</span>;
}

export function RunStatus({ status, why }: { status: string; why?: string | undefined }) {
  return <Badge {...runLook(status, why)} />;
}

export function CallStatus({ status }: { status: string }) {
  return <Badge tone={callTone(status)} word={status} live={status === "running"} />;
}

export function Decision({ decision }: { decision: string }) {
  const word = { allow: "allowed", deny: "denied", hold: "held" }[decision] ?? decision;
  return <span className={tone(decisionTone(decision))}>{word}</span>;
}

function tone(t: Tone): string {
  return t === "none" ? "quiet" : t;
}

export function Effect({ effect, scope }: { effect: string; scope: string }) {
  const t = effectTone(effect, scope);
  return <span className={"tag " + (t === "none" ? "" : t)} title={`Effect ${effect}, scope ${scope}`}>{effect} · {scope}</span>;
}

export function DeltaMark({ delta }: { delta: Delta | undefined }) {
  if (!delta || delta.files === 0) return null;
  return (
    <span className="nowrap mono" title={`${delta.files} files changed, ${delta.added} lines added, ${delta.removed} removed`}>
      <span className="quiet">{integer(delta.files)} {delta.files === 1 ? "file" : "files"} </span>
      <span className="good">+{integer(delta.added)}</span> <span className="bad">−{integer(delta.removed)}</span>
    </span>
  );
}

export function Money({ cost }: { cost: Cost | undefined }) {
  if (!cost || cost.known === "unknown") return <span className="faint" title="No price is known for the model">unknown</span>;
  return <>{cost.known === "at_least" ? "≥ " : ""}{dollars(cost.usd)}</>;
}

/** How long ago, kept up to date; the moment itself when pointed at. */
export function Ago({ at }: { at: string }) {
  const now = useNow(10_000);
  return <time dateTime={at} title={moment(at)}>{ago(at, now)}</time>;
}

export function useNow(every: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

export function Meter({ label, used, limit, show }: { label: string; used: number; limit: number | undefined; show: (n: number) => string }) {
  const share = limit ? Math.min(1, used / limit) : 0;
  return (
    <div className="budget">
      <div className="row"><span>{label}</span><span><b>{show(used)}</b>{limit ? ` of ${show(limit)}` : ""}</span></div>
      {limit ? (
        <div className={"meter " + (share >= 1 ? "bad" : share >= 0.8 ? "warn" : "")} role="meter" aria-label={label} aria-valuenow={used} aria-valuemin={0} aria-valuemax={limit}>
          <i style={{ width: `${share * 100}%` }} />
        </div>
      ) : <div className="nolimit">no limit</div>}
    </div>
  );
}

export function Copy({ text, what, word = "Copy" }: { text: string; what: string; word?: string }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  return (
    <button className="button plain small" title={`Copy ${what}`} onClick={() => void navigator.clipboard?.writeText(text).then(() => setDone(true))}>
      {done ? "Copied" : word}<span className="hidden"> {what}</span>
    </button>
  );
}
