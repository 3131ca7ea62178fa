// Keys that work on a whole view. A key that goes into a field, or that comes with a modifier, is not ours.
// They work from the frame that first shows the view: an ordinary effect runs some time after it, and what
// is pressed until then would be lost.
import { useLayoutEffect, useRef } from "react";

export function useKeys(keys: Record<string, (e: KeyboardEvent) => void>): void {
  const current = useRef(keys);
  useLayoutEffect(() => { current.current = keys; });
  useLayoutEffect(() => {
    const down = (e: KeyboardEvent) => {
      if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
      const at = e.target instanceof Element ? e.target : null;
      const writing = at?.closest("input:not([type=range]), textarea, select, [contenteditable]");
      if ((writing && e.key !== "Escape") || document.querySelector("dialog[open]")) return;
      // Enter and space belong to the button or link that has the focus.
      if ((e.key === "Enter" || e.key === " ") && at?.closest("a, button, summary")) return;
      const act = current.current[e.key];
      if (!act) return;
      e.preventDefault();
      act(e);
    };
    document.addEventListener("keydown", down);
    return () => document.removeEventListener("keydown", down);
  }, []);
}
