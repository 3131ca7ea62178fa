// What the server said, kept by key, so that going back shows at once what was there before while it is
// asked again. A component names what it needs; nobody else starts a request for reading.
import { useCallback, useEffect, useRef, useSyncExternalStore } from "react";
import { Problem } from "./client";

export interface Resource<T> {
  data: T | undefined;
  error: Problem | undefined;
  loading: boolean;
  reload: () => void;
}

interface Cell {
  data: unknown;
  error: Problem | undefined;
  loading: boolean;
  listeners: Set<() => void>;
  abort: AbortController | undefined;
  view: { data: unknown; error: Problem | undefined; loading: boolean };
}

const MAX_CELLS = 300;
const cells = new Map<string, Cell>();

function cellOf(key: string): Cell {
  let cell = cells.get(key);
  if (!cell) {
    const view = { data: undefined, error: undefined, loading: true };
    cell = { ...view, listeners: new Set(), abort: undefined, view };
    cells.set(key, cell);
    if (cells.size > MAX_CELLS) for (const [k, c] of cells) if (c.listeners.size === 0 && k !== key) { cells.delete(k); break; }
  }
  return cell;
}

function publish(cell: Cell, change: Partial<Pick<Cell, "data" | "error" | "loading">>): void {
  Object.assign(cell, change);
  cell.view = { data: cell.data, error: cell.error, loading: cell.loading };
  for (const listener of cell.listeners) listener();
}

function start(cell: Cell, load: (signal: AbortSignal) => Promise<unknown>): void {
  cell.abort?.abort();
  const abort = new AbortController();
  cell.abort = abort;
  publish(cell, { loading: true });
  load(abort.signal).then(
    (data) => { if (cell.abort === abort) publish(cell, { data, error: undefined, loading: false }); },
    (cause: unknown) => {
      if (cell.abort !== abort || abort.signal.aborted) return;
      const error = cause instanceof Problem ? cause : new Problem("internal", 0, "Error in this page", String(cause));
      publish(cell, { error, loading: false });
    },
  ).finally(() => { if (cell.abort === abort) cell.abort = undefined; });
}

const NOTHING = { data: undefined, error: undefined, loading: false };

/**
 * What `load` gives for `key`; null asks for nothing. While nobody answers it is asked for again and again. What can never change (`fixed`: content by its
 * hash, a state of the past) is asked for once. The loader must depend on nothing but the key.
 */
export function useResource<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>, fixed = false): Resource<T> {
  const subscribe = useCallback((listener: () => void) => {
    if (key === null) return () => {};
    const cell = cellOf(key);
    cell.listeners.add(listener);
    return () => {
      cell.listeners.delete(listener);
      if (cell.listeners.size === 0) { // nobody waits any more: a slider passes many states
        cell.abort?.abort();
        cell.abort = undefined;
      }
    };
  }, [key]);
  const view = useSyncExternalStore(subscribe, () => (key === null ? NOTHING : cellOf(key).view));
  useEffect(() => {
    if (key === null) return;
    const cell = cellOf(key);
    if (cell.abort || (fixed && cell.data !== undefined)) return;
    start(cell, load);
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the key says all that load depends on
  }, [key, fixed]);
  const reload = useCallback(() => { if (key !== null) start(cellOf(key), load); }, [key]); // eslint-disable-line react-hooks/exhaustive-deps
  useRetry(unanswered(view.error), reload);
  return { data: view.data as T | undefined, error: view.error, loading: view.loading, reload };
}

/** The error, if it is that nobody answers: it promises that the page goes on by itself. */
export function unanswered(error: Problem | undefined): Problem | undefined {
  return error?.kind === "unreachable" ? error : undefined;
}

const FIRST_RETRY = 1000;
const LAST_RETRY = 30_000;

/**
 * Asks again after an error, ever less often. For what nothing else would ask for again: the header of a
 * run that has ended stays as it was when the last answer failed.
 */
export function useRetry(error: Problem | undefined, reload: () => void): void {
  const wait = useRef(FIRST_RETRY);
  useEffect(() => {
    if (!error) { wait.current = FIRST_RETRY; return; }
    const timer = setTimeout(reload, wait.current);
    wait.current = Math.min(wait.current * 2, LAST_RETRY);
    return () => clearTimeout(timer);
  }, [error, reload]);
}

/** Replaces what is kept under a key: something newer came by another way. */
export function amend<T>(key: string, change: (data: T) => T): void {
  const cell = cells.get(key);
  if (cell?.data !== undefined) publish(cell, { data: change(cell.data as T) });
}

/** Forgets everything; for tests. */
export function forgetAll(): void {
  cells.clear();
}
