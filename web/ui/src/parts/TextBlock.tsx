// A text of the contract: its beginning at once, the rest when it is asked for, in pieces, so that a
// line of a megabyte is never laid out unless somebody wants it.
import { useState } from "react";
import { getContent, Problem } from "../api/client";
import type { Text } from "../api/words";
import { bytes, integer } from "../lib/format";
import { cut } from "../lib/hostile";
import { Foreign } from "./Foreign";
import { ErrorNotice } from "./Notice";

const LOST: Record<NonNullable<Text["lost"]>, string> = {
  erased: "Erased on request. The proofs stay valid; what was said is gone.",
  missing: "These bytes are not in the store.",
  damaged: "The stored bytes do not match their hash. Verify the run.",
};

const PIECE = 64 << 10;

interface Props {
  run: string;
  text: Text;
  /** Lines and characters that are shown at first. */
  lines?: number;
  chars?: number;
  mono?: boolean;
}

export function TextBlock({ run, text, lines = 12, chars = 2000, mono = true }: Props) {
  const [shown, setShown] = useState<{ text: string; next: number | undefined; open: boolean }>({ text: text.text, next: text.cut ? -1 : undefined, open: false });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Problem>();
  if (text.lost) return <p className="notice warn">{LOST[text.lost]}</p>;
  if (text.size === 0) return <p className="faint textempty">empty</p>;
  const beginning = cut(shown.text, lines, chars);
  const part = shown.open ? { text: shown.text, moreChars: 0, moreLines: 0 } : beginning;
  const more = part.moreChars > 0 || shown.next !== undefined;

  const load = async () => {
    if (shown.next === undefined || !text.ref) return setShown({ ...shown, open: true });
    setBusy(true);
    setError(undefined);
    try {
      const offset = Math.max(0, shown.next);
      const piece = await getContent(run, text.ref, text.part, offset, PIECE);
      setShown({ text: offset === 0 ? piece.text : shown.text + piece.text, next: piece.next, open: true });
    } catch (cause) {
      setError(cause instanceof Problem ? cause : new Problem("internal", 0, "Error in this page", String(cause)));
    }
    setBusy(false);
  };

  return (
    <div className="textblock">
      <pre className={"foreign" + (mono ? "" : " prose")}><Foreign text={part.text} /></pre>
      {error && <ErrorNotice error={error} />}
      {(more || shown.open) && (
        <div className="textmore">
          {more && <button className="link" onClick={load} disabled={busy}>{busy ? "Loading…" : shown.open ? `Show ${bytes(PIECE)} more` : "Show more"}</button>}
          {shown.open && beginning.moreChars > 0 && <button className="link" onClick={() => setShown({ ...shown, open: false })}>Show less</button>}
          <span>{told(part, shown, text)}</span>
        </div>
      )}
    </div>
  );
}

/** What is left out, so that nobody takes a part for the whole. */
function told(part: { moreLines: number }, shown: { next: number | undefined; open: boolean }, text: Text): string {
  if (!shown.open && !text.cut && part.moreLines > 0) return `${integer(part.moreLines)} more ${part.moreLines === 1 ? "line" : "lines"} of ${bytes(text.size)}`;
  if (shown.next !== undefined && shown.next > 0) return `${bytes(shown.next)} of ${bytes(text.size)} shown`;
  return shown.next === undefined && shown.open ? `all ${bytes(text.size)}` : `beginning of ${bytes(text.size)}`;
}
