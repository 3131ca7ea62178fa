// What the model of a fork is told of calls, in place of what is recorded.
import { useEffect, useRef, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { getContent, getTranscript, Problem } from "../api/client";
import { useResource } from "../api/resource";
import type { AgentCall, Item, Origin, Text } from "../api/words";
import { bytes, integer, shortRun } from "../lib/format";
import { givable, MAX_RESULT, resultsOf, sizeOf, type ResultDraft } from "../lib/result";
import { afterCalls } from "../lib/story";
import { Line } from "../parts/Foreign";
import { CallStatus } from "../parts/Marks";
import { ErrorNotice, Skeleton } from "../parts/Notice";
import { TextBlock } from "../parts/TextBlock";
import { useRun } from "./context";
import { Submit } from "./ForkSubmit";

interface Props {
  id: string;
  seq: number;
  /** Of the newest answer at seq. */
  calls: readonly AgentCall[];
  /** What happened up to seq, the newest last. */
  before: readonly Item[];
}

export function ResultForm({ id, seq, calls, before }: Props) {
  const offered = givable(calls);
  const [drafts, setDrafts] = useState<ReadonlyMap<number, ResultDraft>>(new Map());
  const { run } = useRun();
  const origin = calls.some((c) => c.call < 0) ? run.summary.parent : undefined;
  if (offered.length === 0) return <NoCalls before={before} origin={origin} />;
  return (
    <>
      {offered.map((c) => <CallResult key={c.call} id={id} seq={seq} call={c} change={(draft) => setDrafts((d) => new Map(d).set(draft.call, draft))} />)}
      <Submit id={id} request={() => { const r = resultsOf([...drafts.values()]); return "wrong" in r ? r : { seq, set: { results: r.results } }; }} />
    </>
  );
}

/** Where a result could be changed instead. */
function NoCalls({ before, origin }: { before: readonly Item[]; origin: Origin | undefined }) {
  const at = before.findLastIndex((i) => i.call !== undefined && i.call.index >= 0);
  const call = before[at];
  return (
    <div className="notice info">
      <div className="grow">
        <b>No result waits to be told here.</b>
        {origin
          ? <p>This run is a fork, and the calls whose results are told next are not its own: they were made in <span className="mono">{shortRun(origin.run)}</span>. To change what they said, <Link to={`/runs/${origin.run}/fork?seq=${origin.seq}&result=0`}>fork that run after entry {integer(origin.seq)}</Link>: it stood there as this one stands here.</p>
          : call
            ? <p>What the last call (<span className="mono">{call.call?.tool}</span>, entry {integer(call.seq)}) said went to the model with its next turn. <Link to={`?seq=${afterCalls(before, at)}&result=${call.seq}`}>Fork before that turn, after entry {integer(afterCalls(before, at))}</Link>.</p>
            : <p>No tool was called before this entry. Choose a later one.</p>}
      </div>
    </div>
  );
}

function CallResult({ id, seq, call, change }: { id: string; seq: number; call: AgentCall; change: (draft: ResultDraft) => void }) {
  const [search] = useSearchParams();
  const [open, setOpen] = useState(search.get("result") === String(call.call));
  const told = useResource(`call/${id}/${call.call}`, (signal) => getTranscript(id, { from: call.call, limit: 1 }, signal));
  const item = told.data?.items[0];
  const ended = call.phase === "ended";
  return (
    <fieldset className="calldraft">
      <legend>Call {integer(call.call)}</legend>
      <div className="row">
        <b className="mono">{call.tool}</b><Line text={call.summary ?? ""} className="mono clip grow quiet" most={160} />
        <CallStatus status={ended ? (call.status ?? call.phase) : call.phase} />
        {!open && <button className="button small" onClick={() => setOpen(true)}>{ended ? "Change its result" : "Give its result"}</button>}
      </div>
      {ended
        ? <p className="quiet">What it did to the files stays. <Link to={`?seq=${call.call}&result=${call.call}`}>Fork before it was made</Link> to have them as they were before it.</p>
        : <p className="quiet">It has not ended after entry {integer(seq)}. With a result given, the fork does not make it: the files stay as they are there.</p>}
      {told.error && <ErrorNotice error={told.error} retry={told.reload} />}
      {open && (item ? <Editor id={id} call={call.call} was={ended ? item.call?.result : undefined} start={item.call?.result} change={change} cancel={() => setOpen(false)} /> : !told.error && <Skeleton lines={4} />)}
    </fieldset>
  );
}

interface EditorProps {
  id: string;
  call: number;
  /** What is recorded at the entry that is forked from. */
  was: Text | undefined;
  /** What is put into the field at first: what came of the call later, if it has not ended there. */
  start: Text | undefined;
  change: (draft: ResultDraft) => void;
  cancel: () => void;
}

/** What is edited has to be whole; what the transcript shows is cut at 4 KiB. */
function Editor({ id, call, was, start, change, cancel }: EditorProps) {
  const whole = useResource(start?.cut && start.ref && start.size <= MAX_RESULT ? `whole/${id}/${start.ref}/${start.part ?? ""}` : null,
    (signal) => getContent(id, start?.ref ?? "", start?.part, 0, MAX_RESULT, signal), true);
  if (whole.error) return <ErrorNotice error={whole.error} retry={whole.reload} />;
  if (start?.cut && start.size <= MAX_RESULT && !whole.data) return <Skeleton lines={6} />;
  const text = whole.data?.text ?? start?.text ?? "";
  return <TextEditor id={id} call={call} first={text} was={was && text} shown={start} change={change} cancel={cancel} tooLarge={start !== undefined && start.size > MAX_RESULT} />;
}

interface TextEditorProps {
  id: string;
  call: number;
  first: string;
  was: string | undefined;
  shown: Text | undefined;
  tooLarge: boolean;
  change: (draft: ResultDraft) => void;
  cancel: () => void;
}

function TextEditor({ id, call, first, was, shown, tooLarge, change, cancel }: TextEditorProps) {
  const [text, setText] = useState(first);
  const [error, setError] = useState("");
  const take = (next: string) => { setText(next); change({ call, was, text: next }); };
  // A call that has not ended has no result yet: what stands in the field is one.
  const report = useRef(change);
  useEffect(() => { if (was === undefined) report.current({ call, was, text: first }); }, [call, was, first]);
  const size = sizeOf(text);
  const read = async (file: File | undefined) => {
    if (!file) return;
    setError("");
    try {
      if (file.size > MAX_RESULT) throw new Problem("invalid", 0, "Too large", `${file.name} has ${bytes(file.size)}; at most ${bytes(MAX_RESULT)} are taken.`);
      take(new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()));
    } catch (cause) {
      setError(cause instanceof Problem ? cause.message : `${file.name} is not UTF-8 text, and a model can be told nothing else.`);
    }
  };
  return (
    <>
      {shown && <details><summary>What is recorded ({bytes(shown.size)})</summary><div className="box"><TextBlock run={id} text={shown} /></div></details>}
      {tooLarge && <p className="warn">The recorded result is larger than a fork can give; the field holds its beginning.</p>}
      <label className="formfield"><span className="label">What the model is told instead</span>
        <textarea className="field mono" rows={Math.max(4, Math.min(20, text.split("\n", 21).length + 1))} value={text} spellCheck={false} onChange={(e) => take(e.target.value)} />
      </label>
      <div className="row wrap">
        <span className={size > MAX_RESULT ? "bad" : "faint"} aria-live="polite">{bytes(size)}{size > 32 << 10 && `: about ${integer(Math.round(size / 4))} tokens, all of them told to the model`}</span>
        <span className="grow" />
        <label className="button small filebutton">From a file…<input type="file" className="hidden" onChange={(e) => { void read(e.target.files?.[0]); e.target.value = ""; }} /></label>
        <button className="button small" onClick={() => { change({ call, was, text: undefined }); cancel(); }}>Leave as it was</button>
      </div>
      {error && <p className="bad" role="alert">{error}</p>}
    </>
  );
}
