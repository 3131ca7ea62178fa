// A new run that begins with the state after an entry and does something differently.
import { useEffect, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { getContent, getState, getTranscript, Problem } from "../api/client";
import { useResource } from "../api/resource";
import type { Item, Text } from "../api/words";
import { integer, moment, short } from "../lib/format";
import { argsOf, draftOf, turnOf, type TurnDraft } from "../lib/turn";
import { Line } from "../parts/Foreign";
import { ErrorNotice, Skeleton } from "../parts/Notice";
import { TextBlock } from "../parts/TextBlock";
import { useRun } from "./context";
import { ResultForm } from "./ForkResult";
import { Field, Submit, type Request } from "./ForkSubmit";

type How = "message" | "result" | "turn" | "spec" | "same";

const HOW: [How, string, string][] = [
  ["message", "Say something", "A message of yours is added to the conversation; then the model is asked."],
  ["result", "Change what a tool said", "The model is told another result of a call. What the call did to the files stays."],
  ["turn", "Change the model’s turn", "You give the next answer and its tool calls. The model is not asked for it; what follows is its own."],
  ["spec", "Another model or budget", "The same conversation goes on with other settings."],
  ["same", "Nothing: try again", "The same state once more. A model may answer differently."],
];

export function ForkView() {
  const { id, newest } = useRun();
  const [search, setSearch] = useSearchParams();
  const seq = Math.max(0, Math.min(newest, Math.trunc(Number(search.get("seq") ?? newest)) || 0));
  const [how, setHow] = useState<How>(search.has("turn") ? "turn" : search.has("result") ? "result" : "message");
  const state = useResource(`state/${id}/${seq}`, (signal) => getState(id, seq, signal), true);
  const after = useResource(`after/${id}/${seq}`, (signal) => getTranscript(id, { from: seq + 1, limit: 60 }, signal));
  const before = useResource(`before/${id}/${seq}`, (signal) => getTranscript(id, { before: seq + 1, limit: 20 }, signal));
  const root = state.data?.agents.find((a) => a.path === "/");
  return (
    <div className="scroll"><div className="page forkpage">
      <section className="panel">
        <header><h2>Fork after entry</h2>
          <input className="field seqfield" type="number" aria-label="Entry" min={0} max={newest} value={seq} onChange={(e) => setSearch((s) => { const n = new URLSearchParams(s); n.set("seq", e.target.value); return n; }, { replace: true })} />
          <span className="faint">of {integer(newest)}</span>
          <span className="grow" />
          <Link to={`/runs/${id}/state?seq=${seq}`}>Look at the state</Link>
        </header>
        <div className="body stack">
          <p className="quiet">The fork gets the conversation and a copy of the files as they were after this entry, whatever you change below. This run is not touched.</p>
          {state.error && <ErrorNotice error={state.error} retry={state.reload} />}
          {state.data ? (
            <dl className="pairs forkfacts">
              <dt>Then</dt><dd>{moment(state.data.time)} · <span className="mono">{state.data.kind}</span></dd>
              <dt>Last step</dt><dd><LastStep item={before.data?.items[before.data.items.length - 1]} /></dd>
              <dt>Conversation</dt><dd>{integer(root?.messages ?? 0)} messages, step {integer(root?.step ?? 0)}</dd>
              <dt>State</dt><dd className="hash">{short(state.data.state, 24)}</dd>
              <dt>Files</dt><dd className="hash">{short(state.data.root, 24)}</dd>
            </dl>
          ) : !state.error && <div className="forkfacts"><Skeleton lines={5} /></div>}
        </div>
      </section>
      <section className="panel">
        <header><h2>What is different</h2></header>
        <div className="body stack">
          <div className="choices" role="radiogroup" aria-label="What is different">
            {HOW.map(([name, title, what]) => (
              <label key={name} className="choice"><input type="radio" name="how" checked={how === name} onChange={() => setHow(name)} /><span><b>{title}</b><span className="quiet">{what}</span></span></label>
            ))}
          </div>
          {how === "message" && <MessageForm id={id} seq={seq} />}
          {how === "result" && (state.data && before.data ? <ResultForm key={seq} id={id} seq={seq} calls={root?.calls ?? []} before={before.data.items} /> : !state.error && <Skeleton lines={8} />)}
          {how === "turn" && (after.error ? <ErrorNotice error={after.error} retry={after.reload} /> : after.data ? <TurnForm key={seq} id={id} seq={seq} items={after.data.items} /> : <Skeleton lines={8} />)}
          {how === "spec" && <SpecForm id={id} seq={seq} model={root?.model ?? state.data?.model ?? ""} />}
          {how === "same" && <Submit id={id} request={() => ({ seq })} />}
        </div>
      </section>
    </div></div>
  );
}

function LastStep({ item }: { item: Item | undefined }) {
  if (!item) return <>–</>;
  if (item.call) return <><span className="mono">{item.call.tool}</span> <Line text={item.call.summary ?? ""} most={120} className="mono quiet" /> ({item.call.status})</>;
  if (item.turn) return <Line text={item.turn.message?.text || "a turn of the model"} most={160} />;
  return <>{item.event?.title ?? "the start"}</>;
}

function MessageForm({ id, seq }: { id: string; seq: number }) {
  const [text, setText] = useState("");
  return (
    <>
      <Field label="Message"><textarea className="field" rows={5} value={text} onChange={(e) => setText(e.target.value)} placeholder="What should the agent know or do differently?" /></Field>
      <Submit id={id} request={() => (text.trim() === "" ? { wrong: "Write a message first." } : { seq, set: { message: text } })} />
    </>
  );
}

function SpecForm({ id, seq, model }: { id: string; seq: number; model: string }) {
  const [next, setNext] = useState(model);
  const [rows, setRows] = useState<{ field: string; value: string }[]>([]);
  useEffect(() => setNext(model), [model]);
  const request: Request = () => {
    const spec: Record<string, string> = {};
    if (next.trim() !== "" && next !== model) spec["model"] = next.trim();
    for (const r of rows) if (r.field.trim() !== "") spec[r.field.trim()] = r.value;
    return Object.keys(spec).length === 0 ? { wrong: "Nothing is different yet: name another model, or a field of the spec." } : { seq, set: { spec } };
  };
  return (
    <>
      <Field label="Model"><input className="field mono wide" value={next} onChange={(e) => setNext(e.target.value)} placeholder="provider/name" /></Field>
      {rows.map((r, i) => (
        <div key={i} className="row">
          <input className="field mono" aria-label="Field" placeholder="budget.tokens" value={r.field} onChange={(e) => setRows(rows.map((x, n) => (n === i ? { ...x, field: e.target.value } : x)))} />
          <input className="field mono grow" aria-label="Value, in YAML" placeholder="200000" value={r.value} onChange={(e) => setRows(rows.map((x, n) => (n === i ? { ...x, value: e.target.value } : x)))} />
          <button className="button plain small" aria-label="Take it away" onClick={() => setRows(rows.filter((_, n) => n !== i))}>✕</button>
        </div>
      ))}
      <div><button className="button small" onClick={() => setRows([...rows, { field: "", value: "" }])}>Add a field of the spec</button></div>
      <Submit id={id} request={request} />
    </>
  );
}

function TurnForm({ id, seq, items }: { id: string; seq: number; items: readonly Item[] }) {
  const [first] = useState(() => draftOf(items, seq));
  const [draft, setDraft] = useState<TurnDraft>(first.draft);
  const [reading, setReading] = useState(true);
  const [error, setError] = useState<Problem>();
  useEffect(() => {
    // What the transcript shows is cut at 4 KiB; what is edited has to be whole.
    let left = false;
    const whole = async (t: Text | undefined): Promise<string> => (t?.cut && t.ref ? (await getContent(id, t.ref, t.part, 0, 4 << 20)).text : (t?.text ?? ""));
    Promise.all([whole(first.turn?.turn?.message), ...first.calls.map((c) => whole(c.call?.args))]).then(
      ([content = "", ...args]) => { if (!left) { setDraft({ content, calls: first.calls.map((c, i) => ({ tool: c.call?.tool ?? "", args: argsOf(c, args[i] ?? "{}") })) }); setReading(false); } },
      (cause: unknown) => { if (!left) { setReading(false); setError(cause instanceof Problem ? cause : undefined); } },
    );
    return () => { left = true; };
  }, [id, first]);
  const change = (i: number, part: Partial<TurnDraft["calls"][number]>) => setDraft({ ...draft, calls: draft.calls.map((c, n) => (n === i ? { ...c, ...part } : c)) });
  return (
    <>
      {error && <ErrorNotice error={error} />}
      {first.turn ? (
        <details><summary>What the model said then (entry {first.turn.seq})</summary>
          <div className="box">{first.turn.turn?.message && <TextBlock run={id} text={first.turn.turn.message} mono={false} />}{first.calls.map((c) => <div key={c.seq} className="call"><b className="mono">{c.call?.tool}</b> <span className="quiet">{c.call?.status}</span>{c.call && <TextBlock run={id} text={c.call.args} />}</div>)}</div>
        </details>
      ) : <p className="quiet">No turn of the model follows this entry, so the form is empty.</p>}
      <Field label="What it says"><textarea className="field" rows={3} value={draft.content} disabled={reading} onChange={(e) => setDraft({ ...draft, content: e.target.value })} /></Field>
      {draft.calls.map((c, i) => (
        <fieldset key={i} className="calldraft">
          <legend>Call {i + 1}</legend>
          <div className="row"><input className="field mono grow" aria-label="Tool" value={c.tool} disabled={reading} onChange={(e) => change(i, { tool: e.target.value })} /><button className="button small" onClick={() => setDraft({ ...draft, calls: draft.calls.filter((_, n) => n !== i) })}>Take away</button></div>
          <textarea className="field mono" aria-label="Arguments, a JSON object" rows={Math.min(18, c.args.split("\n").length + 1)} value={c.args} disabled={reading} spellCheck={false} onChange={(e) => change(i, { args: e.target.value })} />
        </fieldset>
      ))}
      <div><button className="button small" onClick={() => setDraft({ ...draft, calls: [...draft.calls, { tool: "bash", args: '{\n  "intent": "",\n  "command": ""\n}' }] })}>Add a call</button></div>
      <Submit id={id} request={() => { const t = turnOf(draft); return "wrong" in t ? t : { seq, set: { turn: t.turn } }; }} />
    </>
  );
}
