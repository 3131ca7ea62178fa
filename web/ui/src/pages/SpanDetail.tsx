// A span with everything that was sent of it.
import { useState } from "react";
import { Link } from "react-router";
import { getSpan } from "../api/client";
import { useResource } from "../api/resource";
import type { Attribute } from "../api/words";
import { bytes, duration, integer, moment } from "../lib/format";
import { cut } from "../lib/hostile";
import { indented } from "../lib/names";
import { Foreign, Line } from "../parts/Foreign";
import { Badge, Copy, DeltaMark, Effect, Money } from "../parts/Marks";
import { ErrorNotice, Skeleton } from "../parts/Notice";
import { TextBlock } from "../parts/TextBlock";
import { useRun } from "./context";

export function SpanDetail({ span: id, close }: { span: string; close: () => void }) {
  const { id: run } = useRun();
  const got = useResource(`span/${run}/${id}`, (signal) => getSpan(run, id, signal));
  if (got.error) return <div className="detail"><ErrorNotice error={got.error} retry={got.reload} /><button className="button small" onClick={close}>Close</button></div>;
  if (!got.data) return <div className="detail"><Skeleton lines={10} /></div>;
  const { span: s, attributes, resource, events, links, cut: shortened } = got.data;
  return (
    <div className="scroll">
      <div className="detail">
        <div className="detailhead"><h2 className="grow clip"><Line text={s.name} most={120} /></h2><button className="button plain small" onClick={close} aria-label="Close details">✕</button></div>
        <div className="row wrap">
          <Badge tone={s.status === "error" ? "bad" : s.duration_ns === undefined ? "info" : "good"} word={s.status === "error" ? "failed" : s.duration_ns === undefined ? "open" : "ended"} live={s.duration_ns === undefined} />
          {s.effect && <Effect effect={s.effect} scope={s.scope ?? ""} />}
          <DeltaMark delta={s.delta} />
          {s.seq !== undefined && <Link className="button small" to={`/runs/${run}/transcript?seq=${s.seq}`}>In the transcript</Link>}
        </div>
        {(s.error || got.data.status_message) && <p className="notice bad foreign"><Foreign text={(got.data.status_message || s.error || "").slice(0, 2000)} /></p>}
        {s.intent && <section className="section"><h3>Why</h3><Line text={s.intent} most={1000} /></section>}
        <dl className="pairs">
          <dt>Started</dt><dd>{moment(s.start)}</dd>
          <dt>Took</dt><dd>{s.duration_ns === undefined ? `still open${s.alive_at ? `, last heard of ${moment(s.alive_at)}` : ""}` : duration(s.duration_ns / 1e6)}</dd>
          {s.agent && <><dt>Agent</dt><dd><Line text={s.agent} /></dd></>}
          {s.model && <><dt>Model</dt><dd><Line text={s.model} /></dd></>}
          {s.tokens && <><dt>Tokens</dt><dd>{integer(s.tokens.input)} in ({integer(s.tokens.cached)} cached), {integer(s.tokens.output)} out</dd></>}
          {s.cost && <><dt>Cost</dt><dd><Money cost={s.cost} /></dd></>}
          {s.service && <><dt>Service</dt><dd><Line text={s.service} /></dd></>}
          <dt>Span</dt><dd className="hash">{s.id} <Copy text={s.id} what="the span's id" /></dd>
        </dl>
        <Attributes title="Attributes" list={attributes} />
        {events.length > 0 && (
          <section className="section">
            <h3>Events</h3>
            {events.map((e, i) => <details key={i} className="spanevent"><summary><Line text={e.name} /> <span className="faint">{moment(e.time)}</span></summary><Attributes title="" list={e.attributes} /></details>)}
          </section>
        )}
        {links.length > 0 && <section className="section"><h3>Links</h3>{links.map((l, i) => (
          <div key={i}>
            <p className="hash"><Link to={`/runs/${l.trace}/timeline?span=${l.span}`}>{l.trace} · {l.span}</Link></p>
            <Attributes title="" list={l.attributes} />
          </div>
        ))}</section>}
        <Attributes title="Resource" list={resource} />
        {shortened.length > 0 && <p className="notice warn">Too long for the span, so shortened here: {shortened.map((k) => <Line key={k} text={k + " "} className="mono" />)}</p>}
      </div>
    </div>
  );
}

function Attributes({ title, list }: { title: string; list: readonly Attribute[] }) {
  if (list.length === 0) return null;
  return (
    <section className="section">
      {title && <h3>{title}</h3>}
      <dl className="attributes">{list.map((a, i) => <div key={i}><dt><Line text={a.key} className="mono" /></dt><dd><Value attribute={a} /></dd></div>)}</dl>
    </section>
  );
}

function Value({ attribute: a }: { attribute: Attribute }) {
  const { id } = useRun();
  const [all, setAll] = useState(false);
  // What was too long for its span is read from where it stands, piece by piece.
  if (a.cut && a.ref) return <TextBlock run={id} text={{ text: a.value, size: a.size ?? a.value.length, cut: true, ref: a.ref }} lines={8} chars={500} />;
  const text = a.type === "json" ? indented(a.value) : a.value;
  const part = all ? { text, moreChars: 0 } : cut(text, 8, 500);
  return (
    <>
      <pre className="foreign"><Foreign text={part.text} /></pre>
      {(part.moreChars > 0 || all) && <button className="link" onClick={() => setAll(!all)}>{all ? "Show less" : "Show more"}</button>}
      {a.cut && <span className="warn"> only the beginning{a.size !== undefined && ` of ${bytes(a.size)}`}</span>}
    </>
  );
}
