// Server-sent events. A browser connects again by itself and sends the last id back; where it gives up
// (the server was restarted and answered an error) this does it, from the last id that was seen.
import { useEffect, useRef, useSyncExternalStore } from "react";
import { path } from "./client";
import type { LiveEntry, LivePiece, RunSummary } from "./words";

export interface Listeners {
  run?: (run: RunSummary) => void;
  entry?: (entry: LiveEntry) => void;
  piece?: (piece: LivePiece) => void;
  /** The run has ended, and all of it was told. */
  end?: () => void;
}

export type Connection = "none" | "open" | "lost";

let connection: Connection = "none";
const watchers = new Set<() => void>();

function tell(next: Connection): void {
  if (next === connection) return;
  connection = next;
  for (const watcher of watchers) watcher();
}

/** Whether what is shown follows what happens. */
export function useConnection(): Connection {
  return useSyncExternalStore(
    (listener) => { watchers.add(listener); return () => watchers.delete(listener); },
    () => connection,
  );
}

const FIRST_RETRY = 500;
const LAST_RETRY = 15_000;

/**
 * Follows the list (run null) or one run, from `after` on. undefined waits: what is shown has to be there
 * before what changes it. Listeners may change at any time without a new connection.
 */
export function useLive(run: string | null, after: string | undefined, listeners: Listeners): void {
  const current = useRef(listeners);
  useEffect(() => { current.current = listeners; });
  useEffect(() => {
    if (after === undefined) return;
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let wait = FIRST_RETRY;
    let last = after;
    const open = () => {
      source = new EventSource(path(["api", "live"], { run: run ?? undefined, after: last }));
      const on = <T>(name: string, take: (value: T) => void) => source?.addEventListener(name, (e: MessageEvent<string>) => {
        if (e.lastEventId) last = e.lastEventId;
        take(JSON.parse(e.data) as T);
      });
      on("hello", () => { wait = FIRST_RETRY; tell("open"); });
      on<RunSummary>("run", (v) => current.current.run?.(v));
      on<LiveEntry>("entry", (v) => current.current.entry?.(v));
      on<LivePiece>("piece", (v) => current.current.piece?.(v));
      on("end", () => { source?.close(); tell("none"); current.current.end?.(); });
      source.onerror = () => {
        tell("lost");
        if (source?.readyState !== EventSource.CLOSED) return; // the browser tries again
        timer = setTimeout(open, wait);
        wait = Math.min(wait * 2, LAST_RETRY);
      };
    };
    open();
    return () => { source?.close(); clearTimeout(timer); tell("none"); };
  }, [run, after]);
}
