// The spans of a run, page after page, so that the first ones are seen before the last are read.
import { useCallback, useEffect, useRef, useState } from "react";
import { listSpans, Problem } from "../api/client";
import { instant } from "../lib/format";
import { spanOf } from "../lib/spans";
import type { Span } from "../lib/timeline";
import { useRun, useRunEvents } from "./context";

const PAGE = 20_000;

export interface Spans {
  spans: readonly Span[];
  /** Milliseconds since 1970 at which the run began. */
  origin: number;
  total: number;
  journal: boolean;
  loaded: boolean;
  /** All pages are there. */
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
    try {
      for (let cursor: string | undefined; ; ) {
        const page = await listSpans(id, PAGE, cursor, abort.signal);
        for (const span of page.spans) all.push(spanOf(span));
        cursor = page.next;
        const part = { origin: instant(page.origin) ?? 0, total: page.total, journal: page.journal, loaded: true, whole: cursor === undefined, error: undefined };
        // While a reload is under way, what is shown stays until all of it is there.
        setState((before) => (before.whole && cursor !== undefined ? before : { ...part, spans: all.slice() }));
        if (cursor === undefined) break;
      }
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

function useSoon(act: () => void, wait: number): () => void {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const current = useRef({ act, wait });
  useEffect(() => { current.current = { act, wait }; });
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    timer.current ??= setTimeout(() => { timer.current = undefined; current.current.act(); }, current.current.wait);
  }, []);
}
