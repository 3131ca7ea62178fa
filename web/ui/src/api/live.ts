// Server-sent events. A browser connects again by itself and sends the last id back; where it gives up
// (the server was restarted and answered an error) this does it, from the last id that was seen.
//
// A browser opens six connections to a host, for all its tabs, and a stream keeps one: a page that nobody sees lets go of
// its stream, and goes on from the last id when it is seen again. Else the seventh tab would not even load.
import { useEffect, useRef, useSyncExternalStore } from "react";
import { path } from "./client";
import type { LiveEntry, LivePiece, RunSummary } from "./words";

export interface Listeners {
  run?: (run: RunSummary) => void;
  entry?: (entry: LiveEntry) => void;
  piece?: (piece: LivePiece) => void;
  /** It goes on after a time in which nothing came: entries come after all, pieces do not. */
  again?: () => void;
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
    let [begun, over] = [false, false];
    const close = () => { source?.close(); source = undefined; clearTimeout(timer); };
    const open = () => {
      if (document.hidden || over || source) return;
      const stream = source = new EventSource(path(["api", "live"], { run: run ?? undefined, after: last }));
      const on = <T>(name: string, take: (value: T) => void) => stream.addEventListener(name, (e: MessageEvent<string>) => {
        if (e.lastEventId) last = e.lastEventId;
        take(JSON.parse(e.data) as T);
      });
      on("hello", () => {
        wait = FIRST_RETRY;
        tell("open");
        if (begun) current.current.again?.();
        begun = true;
      });
      on<RunSummary>("run", (v) => current.current.run?.(v));
      on<LiveEntry>("entry", (v) => current.current.entry?.(v));
      on<LivePiece>("piece", (v) => current.current.piece?.(v));
      on("end", () => { over = true; close(); tell("none"); current.current.end?.(); });
      stream.onerror = () => {
        tell("lost");
        if (stream.readyState !== EventSource.CLOSED) return; // the browser tries again
        close();
        timer = setTimeout(open, wait);
        wait = Math.min(wait * 2, LAST_RETRY);
      };
    };
    const look = () => { if (document.hidden) close(); else { wait = FIRST_RETRY; clearTimeout(timer); open(); } };
    open();
    document.addEventListener("visibilitychange", look);
    return () => { document.removeEventListener("visibilitychange", look); close(); tell("none"); };
  }, [run, after]);
}
