// The spans of a run as they come, so that the first ones are seen before the last are read.
import { useCallback, useEffect, useRef, useState } from "react";
import { Problem, readSpans } from "../api/client";
import { instant } from "../lib/format";
import { spanOf } from "../lib/spans";
import type { Span } from "../lib/timeline";
import { useRun, useRunEvents } from "./context";
import { useSoon } from "./soon";

export interface Spans {
  spans: readonly Span[];
  /** Milliseconds since 1970 at which the run began. */
  origin: number;
  total: number;
  journal: boolean;
  loaded: boolean;
  /** All have come. */
  whole: boolean;
  error: Problem | undefined;
  reload: () => void;
}

const NONE: Omit<Spans, "reload"> = { spans: [], origin: 0, total: 0, journal: true, loaded: false, whole: false, error: undefined };

export function useSpans(): Spans {
  const { id, run } = useRun();
  const [state, setState] = useState(NONE);
  const reading = useRef<AbortController>(undefined);

  const read = useCallback(async () => {
    reading.current?.abort();
    const abort = new AbortController();
    reading.current = abort;
    const all: Span[] = [];
    const places = new Map<string, number>();
    let shown = 0;
    try {
      await readSpans(id, (part) => {
        for (const wire of part.spans) put(all, places, spanOf(wire));
        // Each view of them costs as much as all that is there, so the next is made when that has doubled.
        if (part.more && all.length < 2 * shown) return;
        shown = all.length;
        const next = { spans: all.slice(), origin: instant(part.origin) ?? 0, total: part.total, journal: part.journal, loaded: true, whole: !part.more, error: undefined };
        // While a reload is under way, what is shown stays until all of it is there.
        setState((before) => (before.whole && part.more ? before : next));
      }, abort.signal);
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

  const soon = useSoon(() => { if (!reading.current) void read(); }, state.total > 5000 ? 10_000 : 1000);
  useRunEvents({ entry: soon });
  // Nobody tells when a span of another program's trace arrives: while it may, ask.
  const foreign = run.summary.source === "otlp" && run.summary.status === "running";
  useEffect(() => {
    if (!foreign) return;
    const timer = setInterval(soon, 3000);
    return () => clearInterval(timer);
  }, [foreign, soon]);
  return { ...state, reload: () => void read() };
}

/** Adds a span; one that has ended takes the place of what it was while it was open. */
function put(all: Span[], places: Map<string, number>, span: Span): void {
  const known = places.get(span.id);
  if (known !== undefined) all[known] = span;
  else {
    places.set(span.id, all.length);
    all.push(span);
  }
}
