// A long list of which only what is seen is in the page. Rows have heights of their own, measured when
// they come into view; two spacers stand for the rest. The row at the top of the view is the anchor: when
// rows above it come, or turn out taller than estimated, the scroll position moves with it, so that what
// is read stays where it is. (The browser's own anchoring is off: it loses rows that React removes.)
import { useCallback, useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState, type ReactNode, type Ref } from "react";
import { Heights } from "../lib/heights";

export interface ListHandle {
  /** Brings a row into view: to the top, or no further than it takes to see it. */
  show: (index: number, where: "start" | "nearest") => void;
  toEnd: () => void;
}

interface Props<T> {
  rows: readonly T[];
  keyOf: (row: T) => number;
  estimate: (row: T) => number;
  children: (row: T, index: number) => ReactNode;
  /** Called when the view is near an end of what is there. */
  nearStart: () => void;
  nearEnd: () => void;
  /** Stays at the end once it is there: a run that is under way. */
  stick: boolean;
  /** Called when the end comes into view or leaves it. */
  onEnd: (atEnd: boolean) => void;
  handle: Ref<ListHandle>;
  className: string;
  label: string;
  footer: ReactNode;
}

const OVERSCAN = 600;

export function VirtualList<T>({ rows, keyOf, estimate, nearStart, nearEnd, stick, onEnd, ...props }: Props<T>) {
  const box = useRef<HTMLDivElement>(null);
  const head = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const known = useRef(new Map<number, number>());
  const anchor = useRef<{ key: number; below: number } | null>(null);
  const atEnd = useRef(false);
  const [view, setView] = useState({ top: 0, height: 900 });
  const [version, setVersion] = useState(0);

  const heights = useMemo(
    () => new Heights(rows.length, (i) => { const row = rows[i] as T; return known.current.get(keyOf(row)) ?? estimate(row); }),
    [rows, keyOf, estimate],
  );

  const look = useCallback(() => {
    const el = box.current;
    if (!el) return;
    const end = el.scrollTop + el.clientHeight >= el.scrollHeight - 32;
    if (end !== atEnd.current) { atEnd.current = end; onEnd(end); }
    const top = el.scrollTop - (head.current?.offsetTop ?? 0);
    const index = heights.find(top);
    const row = rows[index];
    if (row !== undefined) anchor.current = { key: keyOf(row), below: top - heights.top(index) };
    setView((v) => (Math.abs(v.top - top) < OVERSCAN / 4 && v.height === el.clientHeight ? v : { top, height: el.clientHeight }));
  }, [heights, rows, keyOf, onEnd]);

  useEffect(() => {
    const el = box.current;
    if (!el) return;
    const observer = new ResizeObserver(() => {
      if (stick && atEnd.current) el.scrollTop = el.scrollHeight; // the header grew: a call waits for a person
      look();
    });
    observer.observe(el);
    return () => observer.disconnect();
  }, [look, stick]);

  // Puts the anchor back where it was, or stays at the end.
  useLayoutEffect(() => {
    const el = box.current;
    const a = anchor.current;
    if (!el || !a) return;
    if (stick && atEnd.current) {
      el.scrollTop = el.scrollHeight;
      return look();
    }
    const index = rows.findIndex((row) => keyOf(row) === a.key);
    const wanted = index < 0 ? el.scrollTop : (head.current?.offsetTop ?? 0) + heights.top(index) + a.below;
    if (Math.abs(wanted - el.scrollTop) >= 1) el.scrollTop = wanted;
    look();
  }, [heights, version, stick]); // eslint-disable-line react-hooks/exhaustive-deps -- rows come with heights

  const first = heights.find(view.top - OVERSCAN);
  const last = rows.length === 0 ? -1 : heights.find(view.top + view.height + OVERSCAN);

  useLayoutEffect(() => {
    const el = list.current;
    if (!el) return;
    const measure = () => {
      let changed = false;
      for (const child of el.children) {
        const index = Number((child as HTMLElement).dataset["index"]);
        const row = rows[index];
        const height = child.getBoundingClientRect().height;
        if (row === undefined || height === 0) continue;
        known.current.set(keyOf(row), height);
        if (Math.abs(heights.set(index, height)) > 0.5) changed = true;
      }
      if (changed) setVersion((n) => n + 1);
    };
    measure();
    const observer = new ResizeObserver(measure);
    for (const child of el.children) observer.observe(child);
    return () => observer.disconnect();
  }, [rows, first, last, heights, keyOf]);

  useEffect(() => {
    if (first <= 5) nearStart();
    if (last >= rows.length - 6) nearEnd();
  }, [first, last, rows.length, nearStart, nearEnd]);

  useImperativeHandle(props.handle, () => ({
    show: (index, where) => {
      const el = box.current;
      if (!el) return;
      const top = heights.top(index) + (head.current?.offsetTop ?? 0);
      const bottom = top + heights.at(index);
      if (where === "start" || top < el.scrollTop + 8) el.scrollTop = top - 8;
      else if (bottom > el.scrollTop + el.clientHeight - 8) el.scrollTop = Math.min(top - 8, bottom - el.clientHeight + 8);
      look();
    },
    toEnd: () => {
      if (box.current) box.current.scrollTop = box.current.scrollHeight;
      atEnd.current = true;
      onEnd(true);
      look();
    },
  }), [heights, look, onEnd]);

  const shown: ReactNode[] = [];
  for (let i = first; i <= last; i++) {
    const row = rows[i] as T;
    shown.push(<div key={keyOf(row)} data-index={i}>{props.children(row, i)}</div>);
  }
  return (
    <div className="scroll anchored" ref={box} onScroll={look} tabIndex={-1}>
      <div className={props.className} role="feed" aria-label={props.label}>
        <div ref={head} style={{ height: heights.top(first) }} />
        <div ref={list}>{shown}</div>
        <div style={{ height: Math.max(0, heights.total - heights.top(last + 1)) }} />
        {props.footer}
      </div>
    </div>
  );
}
