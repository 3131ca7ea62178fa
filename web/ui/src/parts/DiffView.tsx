// A unified diff of the server, shown file by file. Long ones are opened on demand.
import { useState } from "react";
import { integer } from "../lib/format";
import { parsePatch, type FilePatch, type PatchLine } from "../lib/patch";
import { cut } from "../lib/hostile";
import { Foreign, Line } from "./Foreign";

const AT_ONCE = 400;

export function DiffView({ patch, truncated }: { patch: string; truncated: boolean }) {
  const files = parsePatch(patch);
  if (files.length === 0) return <p className="quiet">No differences.</p>;
  return (
    <>
      {files.map((f, i) => <FileDiff key={i + f.path} file={f} />)}
      {truncated && <p className="notice warn">The difference is longer than 4 MiB and is cut here. Choose a file to see the rest.</p>}
    </>
  );
}

function FileDiff({ file }: { file: FilePatch }) {
  const [limit, setLimit] = useState(AT_ONCE);
  return (
    <section className="difffile" aria-label={file.path}>
      <header><Line text={file.path} className="mono grow clip" /><span className="mono good">+{integer(file.added)}</span><span className="mono bad">−{integer(file.removed)}</span></header>
      <div className="diff">
        {file.notes.map((n, i) => <div key={"n" + i} className="diffline hunk"><span /><span /><span className="sign" /><code><Foreign text={n} /></code></div>)}
        {file.lines.slice(0, limit).map((l, i) => <DiffLine key={i} line={l} />)}
      </div>
      {file.lines.length > limit && (
        <div className="textmore"><button className="link" onClick={() => setLimit(limit + 10 * AT_ONCE)}>Show more</button><span>{integer(file.lines.length - limit)} more lines</span></div>
      )}
    </section>
  );
}

const SIGN = { add: "+", del: "−", same: "", hunk: "" } as const;

function DiffLine({ line }: { line: PatchLine }) {
  const text = cut(line.text, 1, 2000);
  return (
    <div className={"diffline " + line.kind}>
      <span>{line.old ?? ""}</span>
      <span>{line.new ?? ""}</span>
      <span className="sign">{SIGN[line.kind]}</span>
      <code className="foreign"><Foreign text={text.text} />{text.moreChars > 0 && <i className="faint"> … {integer(text.moreChars)} more characters</i>}</code>
    </div>
  );
}
