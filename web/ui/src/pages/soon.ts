// Many events soon after one another ask for one thing once.
import { useCallback, useEffect, useRef } from "react";

/** Calls act that many milliseconds after it was first asked for, once for all that ask meanwhile. */
export function useSoon(act: () => void, wait: number): () => void {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    timer.current ??= setTimeout(() => { timer.current = undefined; act(); }, wait);
  }, [act, wait]);
}
