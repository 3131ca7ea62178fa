// Whether the server wants a token of this browser, and has one. Where it runs for this machine alone it never does.
import { useSyncExternalStore } from "react";

let wanted = false;
const watchers = new Set<() => void>();

/** An answer said that a token is needed: the page asks for it, whatever it showed. */
export function wantToken(): void {
  if (wanted) return;
  wanted = true;
  for (const watcher of watchers) watcher();
}

export function useTokenWanted(): boolean {
  return useSyncExternalStore((listener) => { watchers.add(listener); return () => watchers.delete(listener); }, () => wanted);
}
