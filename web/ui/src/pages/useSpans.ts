// The spans of a run as they come, so that the first ones are seen before the last are read; later only what is new.
import { useCallback, useEffect, useRef, useState } from "react";
import { Problem, readSpans } from "../api/client";
import { unanswered, useRetry } from "../api/resource";
import { Gathered } from "../lib/gathered";
import type { Span } from "../lib/timeline";
import { useRun, useRunEvents } from "./context";
import { useSoon } from "./soon";

export interface Spans {
  spans: readonly Span[];
  /** Milliseconds since 1970 at which the run began. */
  origin: number;
  loaded: boolean;
  /** All have come. */
  whole: boolean;
  error: Problem | undefined;
  reload: () => void;
}

const NONE: Omit<Spans, "reload"> = { spans: [], origin: 0, loaded: false, whole: false, error: undefined };

export function useSpans(): Spans {
  const { id, run } = useRun();
  const [state, setState] = useState(NONE);
  const reading = useRef<AbortController>(undefined);
  const known = useRef(new Gathered());

  const read = useCallback(async () => {
    reading.current?.abort();
    const abort = new AbortController();
    reading.current = abort;
    const after = known.current.entries;
    const all = after === undefined ? new Gathered() : known.current;
    let shown = 0;
    try {
      await readSpans(id, after, (part) => {
        all.take(part);
        // Each view of them costs as much as all that is there, so the next is made when that has doubled.
        if (part.more && all.size < 2 * shown) return;
        shown = all.size;
        const next = { spans: all.list(), origin: all.origin, loaded: true, whole: !part.more, error: undefined };
        // While they are read again, what is shown stays until all of it is there.
        setState((before) => (before.whole && part.more ? before : next));
      }, abort.signal);
      known.current = all;
    } catch (cause) {
      if (abort.signal.aborted) return;
      setState((s) => ({ ...s, loaded: true, error: cause instanceof Problem ? cause : new Problem("internal", 0, "Error in this page", String(cause)) }));
    }
    if (reading.current === abort) reading.current = undefined;
  }, [id]);

  useEffect(() => {
    void read();
    return () => reading.current?.abort();
  }, [read]);

  // What is new costs little to ask for; to lay out anew, as much as all that is there.
  const soon = useSoon(() => { if (!reading.current) void read(); }, state.spans.length > 20_000 ? 3000 : 1000);
  useRunEvents({ entry: soon });
  useForeign(run.summary.source === "otlp", run.summary.spans, known, soon);
  const reload = useCallback(() => void read(), [read]);
  useRetry(unanswered(state.error), reload);
  return { ...state, reload };
}

/** Nobody tells when a span of another program's trace arrives: look whether there are more than before, and again while some are open. */
function useForeign(foreign: boolean, count: number | undefined, known: React.RefObject<Gathered>, soon: () => void): void {
  const seen = useRef(count);
  useEffect(() => {
    if (!foreign) return;
    if (seen.current !== count) soon();
    seen.current = count;
    const timer = setInterval(() => { if (known.current.moving) soon(); }, 3000);
    return () => clearInterval(timer);
  }, [foreign, count, known, soon]);
}
