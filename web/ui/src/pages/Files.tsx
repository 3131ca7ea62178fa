// The workspace after an entry: a tree, the content of a file, and what differs between two entries.
import { useState } from "react";
import { useSearchParams } from "react-router";
import { getDiff, getFile, getPatch, listFiles, Problem, type Place } from "../api/client";
import { useResource } from "../api/resource";
import type { Change, File } from "../api/words";
import { bytes, integer } from "../lib/format";
import { cut } from "../lib/hostile";
import { treeRows } from "../lib/tree";
import { DiffView } from "../parts/DiffView";
import { Foreign, Line } from "../parts/Foreign";
import { Empty, ErrorNotice, Skeleton } from "../parts/Notice";
import { useRun } from "./context";
import { useKept } from "./State";

type Setter = (change: Record<string, string | null>) => void;

export function FilesView({ at }: { at: number }) {
  const [search, setSearch] = useSearchParams();
  const shown = search.get("files") ?? "all";
  const path = search.get("path") ?? "";
  const from = Math.max(0, Number(search.get("from") ?? 0) || 0);
  const as = search.get("as") ?? "content";
  const set: Setter = (change) => setSearch((s) => {
    const next = new URLSearchParams(s);
    for (const [name, value] of Object.entries(change)) {
      if (value === null) next.delete(name);
      else next.set(name, value);
    }
    return next;
  }, { replace: true });
  const open = (p: string) => set({ path: p });
  return (
    <div className="stategrid">
      <div className="treepane">
        <div className="treebar">
          <div className="segmented" role="group" aria-label="Which files">
            <button aria-pressed={shown === "all"} onClick={() => set({ files: null })}>All</button>
            <button aria-pressed={shown === "changed"} onClick={() => set({ files: "changed", as: "diff" })}>Changed</button>
          </div>
        </div>
        <div className="filetree" role="tree" aria-label="Files">
          {shown === "changed" ? <ChangedTree from={from} at={at} path={path} open={open} /> : <Directory at={at} place={{}} prefix="" depth={0} path={path} open={open} />}
        </div>
      </div>
      <div className="pane">
        <div className="filehead">
          <Line text={path || "All files"} className="mono clip grow" most={400} />
          {as === "diff" && (
            <label className="row quiet nowrap">against entry <input className="field seqfield" type="number" min={0} max={at} value={from} onChange={(e) => set({ from: e.target.value })} /></label>
          )}
          <button className="button small" title="Compare later entries with this one" onClick={() => set({ from: String(at), as: "diff" })}>Compare from here</button>
          <div className="segmented" role="group" aria-label="Show as">
            <button aria-pressed={as === "content"} onClick={() => set({ as: null })}>Content</button>
            <button aria-pressed={as === "diff"} onClick={() => set({ as: "diff" })}>Diff</button>
          </div>
        </div>
        <div className="scroll">
          {as === "diff" ? <PathDiff from={from} at={at} path={path} /> : path === "" ? <Empty title="Choose a file"><p>Its content after entry {integer(at)} is shown here. <em>Diff</em> shows what all files have changed.</p></Empty> : <FileContent key={`${at} ${path}`} at={at} path={path} />}
        </div>
      </div>
    </div>
  );
}

const CHANGE_MARKS: Record<string, [string, string, string]> = {
  added: ["A", "good", "added"], modified: ["M", "warn", "modified"], removed: ["D", "bad", "removed"], mode: ["M", "warn", "mode changed"], type: ["T", "warn", "of another type"], renamed: ["R", "info", "renamed"],
};

function ChangeMark({ change }: { change: string | undefined }) {
  const [letter, tone, word] = CHANGE_MARKS[change ?? ""] ?? ["", "", ""];
  return <span className={"change " + tone} title={word}>{letter}</span>;
}

interface DirectoryProps { at: number; place: Place; prefix: string; depth: number; path: string; open: (path: string) => void }

/** A directory's entries, read when it is opened. */
function Directory({ at, place, prefix, depth, path, open }: DirectoryProps) {
  const { id } = useRun();
  const list = useResource(`files/${id}/${at}/${prefix}/${JSON.stringify(place)}`, (signal) => listFiles(id, at, place, signal), true);
  const seen = useKept(list.data);
  if (list.error) return <div className="treeerror"><ErrorNotice error={list.error} retry={list.reload} /></div>;
  if (!seen) return <div className="treeloading"><Skeleton lines={3} /></div>;
  return (
    <>
      {seen.entries.map((f) => f.type === "dir"
        ? <Folder key={f.name} file={f} at={at} prefix={prefix} depth={depth} path={path} open={open} />
        : <Leaf key={f.name} name={f.name} depth={depth} change={f.change} selected={prefix + f.name === path} open={() => open(prefix + f.name)} />)}
      {(seen.removed ?? []).map((name) => <Leaf key={"gone " + name} name={name} depth={depth} change="removed" selected={prefix + name === path} open={() => open(prefix + name)} />)}
      {seen.entries.length === 0 && (seen.removed ?? []).length === 0 && <p className="faint treenote">empty</p>}
      {seen.cut && <p className="warn treenote">Only the first 10,000 are listed.</p>}
    </>
  );
}

function Folder({ file, at, prefix, depth, path, open }: Omit<DirectoryProps, "place"> & { file: File }) {
  const [shown, setShown] = useState(path.startsWith(prefix + file.name + "/"));
  const inner: Place = file.path_base64 ? { path_base64: file.path_base64 } : { path: prefix + file.name };
  return (
    <>
      <button className={`fileitem d${Math.min(depth, 12)}`} role="treeitem" aria-expanded={shown} onClick={() => setShown(!shown)}>
        <span className="twisty" aria-hidden="true">{shown ? "▼" : "▶"}</span><Line text={file.name} className="clip grow" /><ChangeMark change={file.change} />
      </button>
      {shown && <Directory at={at} place={inner} prefix={prefix + file.name + "/"} depth={depth + 1} path={path} open={open} />}
    </>
  );
}

function Leaf({ name, depth, change, selected, open }: { name: string; depth: number; change: string | undefined; selected: boolean; open: () => void }) {
  return (
    <button className={`fileitem d${Math.min(depth, 12)}`} role="treeitem" aria-selected={selected} onClick={open}>
      <span className="twisty" aria-hidden="true" /><Line text={name} className={"clip grow" + (change === "removed" ? " gone" : "")} /><ChangeMark change={change} />
    </button>
  );
}

function ChangedTree({ from, at, path, open }: { from: number; at: number; path: string; open: (path: string) => void }) {
  const { id } = useRun();
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const diff = useResource(`diff/${id}/${from}/${at}`, (signal) => getDiff(id, { from, to: at }, signal), true);
  const seen = useKept(diff.data);
  if (diff.error) return <div className="treeerror"><ErrorNotice error={diff.error} retry={diff.reload} /></div>;
  if (!seen) return <div className="treeloading"><Skeleton lines={3} /></div>;
  const files = seen.changes.filter((c) => c.old?.type !== "dir" && c.new?.type !== "dir");
  if (files.length === 0) return <p className="faint treenote">Nothing changed from entry {from} to {at}.</p>;
  const toggle = (p: string) => { const next = new Set(closed); if (!next.delete(p)) next.add(p); setClosed(next); };
  return (
    <>
      {treeRows<Change>(files, closed).map((r) => r.file
        ? <Leaf key={r.path} name={r.name} depth={r.depth} change={r.file.kind} selected={r.path === path} open={() => open(r.path)} />
        : <button key={r.path} className={`fileitem d${Math.min(r.depth, 12)}`} role="treeitem" aria-expanded={r.open} onClick={() => toggle(r.path)}><span className="twisty" aria-hidden="true">{r.open ? "▼" : "▶"}</span><Line text={r.name} className="clip grow" /><span className="faint">{r.count}</span></button>)}
      {seen.total > seen.changes.length && <p className="warn treenote">{integer(seen.changes.length)} of {integer(seen.total)} are listed.</p>}
    </>
  );
}

function PathDiff({ from, at, path }: { from: number; at: number; path: string }) {
  const { id } = useRun();
  const patch = useResource(`patch/${id}/${from}/${at}/${path}`, (signal) => getPatch(id, { from, to: at, path: path || undefined }, signal), true);
  const seen = useKept(patch.data);
  if (patch.error) return <div className="page narrow"><ErrorNotice error={patch.error} retry={patch.reload} /></div>;
  if (!seen) return <div className="story waiting"><Skeleton lines={8} /></div>;
  if (seen.text === "") return <Empty title="No differences"><p>{path ? "This path is" : "The files are"} the same after entry {integer(from)} and after entry {integer(at)}.</p></Empty>;
  return <div className="diffpage"><DiffView patch={seen.text} truncated={seen.cut} /></div>;
}

const PIECE = 64 << 10;

function FileContent({ at, path }: { at: number; path: string }) {
  const { id } = useRun();
  const first = useResource(`file/${id}/${at}/${path}`, (signal) => getFile(id, at, { path }, 0, PIECE, signal), true);
  const [more, setMore] = useState<{ text: string; next: number | undefined }>();
  const [error, setError] = useState<Problem>();
  if (first.error) {
    if (first.error.kind === "not_found") return <Empty title="Not there"><p>After entry {integer(at)} there is no such file. It may come later, or have been removed: <em>Diff</em> tells.</p></Empty>;
    return <div className="page narrow"><ErrorNotice error={first.error} retry={first.reload} /></div>;
  }
  if (!first.data) return <div className="story waiting"><Skeleton lines={10} /></div>;
  const { binary, total } = first.data;
  if (binary) return <Empty title="Not text"><p>{bytes(total)}. <a href={`/api/runs/${id}/file?seq=${at}&path=${encodeURIComponent(path)}&limit=4194304`} download>Download</a>{total > 4_194_304 && " the first 4 MiB"}</p></Empty>;
  const text = first.data.text + (more?.text ?? "");
  const next = more ? more.next : first.data.next;
  const load = async () => {
    if (next === undefined) return;
    try {
      const piece = await getFile(id, at, { path }, next, 4 * PIECE);
      setMore({ text: (more?.text ?? "") + piece.text, next: piece.next });
      setError(undefined);
    } catch (cause) {
      if (cause instanceof Problem) setError(cause);
    }
  };
  if (total === 0) return <Empty title="Empty file"><p>It has no bytes after entry {integer(at)}.</p></Empty>;
  return (
    <>
      <Code text={text} />
      {error && <ErrorNotice error={error} />}
      {next !== undefined && <div className="textmore"><button className="link" onClick={() => void load()}>Show more</button><span>{bytes(next)} of {bytes(total)} shown</span></div>}
    </>
  );
}

const MAX_LINES = 5000;

function Code({ text }: { text: string }) {
  const [limit, setLimit] = useState(MAX_LINES);
  const lines = text.split("\n");
  if (lines[lines.length - 1] === "") lines.pop();
  return (
    <div className="codeview">
      {lines.slice(0, limit).map((line, i) => <CodeLine key={i} number={i + 1} text={line} />)}
      {lines.length > limit && <div className="textmore"><button className="link" onClick={() => setLimit(limit + MAX_LINES)}>Show more lines</button></div>}
    </div>
  );
}

function CodeLine({ number, text }: { number: number; text: string }) {
  const [all, setAll] = useState(false);
  const part = all ? { text, moreChars: 0 } : cut(text, 1, 2000);
  return (
    <div className="codeline"><span>{number}</span><code className="foreign"><Foreign text={part.text} />{part.moreChars > 0 && <button className="link" onClick={() => setAll(true)}> … {integer(part.moreChars)} more characters</button>}</code></div>
  );
}
