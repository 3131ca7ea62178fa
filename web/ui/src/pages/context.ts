// What the views of one run share: its header, and what happens to it.
import { createContext, useContext, useEffect, useRef } from "react";
import type { LiveEntry, LivePiece, Run } from "../api/words";

export interface RunEvents {
  entry?: (entry: LiveEntry) => void;
  piece?: (piece: LivePiece) => void;
  /** Pieces may be missing before those that come. */
  again?: () => void;
}

export interface RunContext {
  id: string;
  run: Run;
  reload: () => void;
  /** The newest entry's seq that is known here. */
  newest: number;
  subscribe: (events: RunEvents) => () => void;
}

export const Shared = createContext<RunContext | null>(null);

export function useRun(): RunContext {
  const value = useContext(Shared);
  if (!value) throw new Error("a view of a run stands outside its page");
  return value;
}

/** Hears what happens to the run while the view is there. */
export function useRunEvents(events: RunEvents): void {
  const { subscribe } = useRun();
  const current = useRef(events);
  useEffect(() => { current.current = events; });
  useEffect(() => subscribe({ entry: (e) => current.current.entry?.(e), piece: (p) => current.current.piece?.(p), again: () => current.current.again?.() }), [subscribe]);
}
