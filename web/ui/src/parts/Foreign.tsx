// Text that somebody else wrote. React makes text nodes of it; marks stand for characters that would
// reorder or hide what is read.
import { memo } from "react";
import { oneLine, pieces } from "../lib/hostile";

export const Foreign = memo(function Foreign({ text }: { text: string }) {
  return (
    <>
      {pieces(text).map((p, i) =>
        "text" in p ? p.text : <span key={i} className="charmark" title={`${p.name}, ${p.mark}`}>{p.mark}</span>,
      )}
    </>
  );
});

/** One line for lists and titles; what does not fit ends in an ellipsis. */
export function Line({ text, most = 300, className = "" }: { text: string; most?: number; className?: string }) {
  return <bdi className={"foreign " + className}>{oneLine(text, most)}</bdi>;
}
