// The run as a waterfall. Labels are elements, only those in view; bars are drawn.
import { memo, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { useSearchParams } from "react-router";
import { duration, instant, integer } from "../lib/format";
import { oneLine } from "../lib/hostile";
import { spanName } from "../lib/names";
import { sums } from "../lib/spans";
import { density, forest, pan, visibleRows, zoom, type Forest, type Kind, type Span, type View } from "../lib/timeline";
import { useKeys } from "../parts/keys";
import { Empty, ErrorNotice, Skeleton } from "../parts/Notice";
import { usePalette } from "../parts/palette";
import { drawAxis, drawBars, drawOverview, prepare, ROW } from "../parts/waterfall";
import { useRun } from "./context";
import { SpanDetail } from "./SpanDetail";
import { useSpans } from "./useSpans";

const KINDS: [Kind, string][] = [["agent", "agent"], ["plan", "step"], ["chat", "model"], ["tool", "tool"], ["other", "other"]];

export function TimelineView() {
  const { run } = useRun();
  const data = useSpans();
  const [search, setSearch] = useSearchParams();
  const q = (search.get("find") ?? "").toLowerCase();
  const failed = search.get("failed") === "1";
  const chosen = search.get("span") ?? undefined;
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const tree = useMemo(() => forest(data.spans), [data.spans]);
  const rows = useMemo(() => {
    const wanted = q || failed ? (s: Span) => (!failed || s.failed) && (!q || s.name.toLowerCase().includes(q)) : null;
    return visibleRows(tree, wanted ? new Set() : closed, wanted);
  }, [tree, closed, q, failed]);
  const set = useCallback((name: string, value: string) => setSearch((s) => {
    const next = new URLSearchParams(s);
    if (value) next.set(name, value);
    else next.delete(name);
    return next;
  }, { replace: true }), [setSearch]);
  const choose = useCallback((span: string) => set("span", span), [set]);
  const find = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => find.current?.select() });

  if (data.error && data.spans.length === 0) return <div className="page narrow"><ErrorNotice error={data.error} retry={data.reload} /></div>;
  if (!data.loaded) return <div key="waiting" className="story waiting"><Skeleton lines={12} /></div>;
  if (data.spans.length === 0) return <Empty title="No spans yet"><p>They appear here as the run takes steps.</p></Empty>;
  const counts = sums(tree.spans);
  // Until all pages are there the axis is already that of the whole run, so that nothing moves then.
  const until = data.whole ? 0 : (instant(run.summary.ended_at ?? run.summary.last_at) ?? 0) - data.origin;
  return (
    <div className={"split" + (chosen ? "" : " single")}>
      <div className="pane">
        <div className="subbar">
          <input ref={find} className="field" type="search" placeholder="Find spans by name" aria-label="Find spans by name" defaultValue={q} onChange={(e) => set("find", e.target.value)} />
          <button className="button" aria-pressed={failed} onClick={() => set("failed", failed ? "" : "1")}>Failed only</button>
          <div className="legend">
            {KINDS.map(([kind, word]) => counts[kind].count > 0 && <span key={kind} title={`${duration(counts[kind].ms)} in all`}><i className={"bar-" + kind} />{word} {integer(counts[kind].count)}</span>)}
            <span><i className="bar-bad" />failed</span>
          </div>
          <span className="grow" />
          <span className="faint">{rows.length === tree.spans.length ? "" : `${integer(rows.length)} of `}{integer(data.spans.length)} spans{!data.whole && " so far"}{data.whole && tree.open > 0 && `, ${integer(tree.open)} open`}{tree.orphans > 0 && `, ${integer(tree.orphans)} without their parent`}</span>
        </div>
        {data.error && <ErrorNotice error={data.error} retry={data.reload} />}
        <Waterfall tree={tree} rows={rows} origin={data.origin} until={until} chosen={chosen} choose={choose} closed={closed} setClosed={setClosed} flat={q !== "" || failed} moving={data.whole && tree.open > 0} />
      </div>
      {chosen && <aside className="pane" aria-label="Details"><SpanDetail span={chosen} close={() => set("span", "")} /></aside>}
    </div>
  );
}

interface WaterfallProps {
  tree: Forest;
  rows: Uint32Array;
  origin: number;
  /** The least end of the axis, in milliseconds after origin. */
  until: number;
  chosen: string | undefined;
  choose: (span: string) => void;
  closed: ReadonlySet<string>;
  setClosed: (closed: ReadonlySet<string>) => void;
  flat: boolean;
  /** Open spans grow; not while more spans are read, since most of them have ended. */
  moving: boolean;
}

function Waterfall({ tree, rows, origin, until, chosen, choose, closed, setClosed, flat, moving: live }: WaterfallProps) {
  const palette = usePalette();
  const box = useRef<HTMLDivElement>(null);
  const [bars, axis, overview] = [useRef<HTMLCanvasElement>(null), useRef<HTMLCanvasElement>(null), useRef<HTMLCanvasElement>(null)];
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [first, setFirst] = useState(0);
  const [view, setView] = useState<View | null>(null); // null: all of it
  const left = Math.round(Math.min(520, Math.max(220, size.width * 0.34)));
  const profile = useMemo(() => density(tree, 600, Math.max(tree.end, until)), [tree, until]);

  // What a frame needs, kept so that drawing never waits for React.
  const now = () => Math.max(tree.end, until, live ? Date.now() - origin : 0);
  const wholeAt = (t: number): View => ({ from: tree.start, to: Math.max(t, tree.start + 0.001) });
  const drawn = useRef<unknown[]>([]);
  const draw = useRef(() => {});
  draw.current = () => {
    const at = now();
    const whole = wholeAt(at);
    const seen = view ?? whole;
    const scene = { forest: tree, rows, view: seen, now: at, left, ...size, scrollTop: box.current?.scrollTop ?? 0, selected: chosen, palette };
    const c = prepare(bars.current, size.width, size.height);
    if (c) drawBars(c, scene);
    const above = [seen.from, seen.to, whole.to, size.width, profile, palette];
    if (above.every((v, i) => v === drawn.current[i])) return; // rows were scrolled: what stands above them stays
    drawn.current = above;
    const a = prepare(axis.current, size.width, 24);
    if (a) drawAxis(a, seen, left, size.width, 24, palette);
    const o = prepare(overview.current, size.width, 46);
    if (o) drawOverview(o, profile, seen, whole, size.width, 46, palette);
  };
  useLayoutEffect(() => draw.current());
  useEffect(() => {
    if (!live) return;
    const slow = matchMedia("(prefers-reduced-motion: reduce)").matches;
    let frame = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const next = () => {
      draw.current();
      if (slow) timer = setTimeout(next, 1000);
      else frame = requestAnimationFrame(next);
    };
    next();
    return () => { cancelAnimationFrame(frame); clearTimeout(timer); };
  }, [live]);

  useLayoutEffect(() => { // at once: rows that are shown before their width is known would move
    const el = box.current;
    if (!el) return;
    const measure = () => setSize({ width: el.clientWidth, height: el.clientHeight });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(el);
    return () => observer.disconnect();
  }, []);

  const zoomBy = useCallback((factor: number, about?: number) => setView((v) => {
    const whole = wholeAt(now());
    const seen = v ?? whole;
    const next = zoom(seen, whole, about ?? (seen.from + seen.to) / 2, factor);
    return next.from === whole.from && next.to === whole.to ? null : next;
  }), [tree, origin, until, live]); // eslint-disable-line react-hooks/exhaustive-deps
  useWheel(box, left, view ?? wholeAt(now()), zoomBy, (by) => setView((v) => (v ? pan(v, wholeAt(now()), by) : v)));

  const index = useMemo(() => (chosen === undefined ? -1 : rows.findIndex((r) => tree.spans[r]?.id === chosen)), [rows, tree, chosen]);
  const show = (row: number) => {
    const el = box.current;
    if (!el) return;
    if (row * ROW < el.scrollTop) el.scrollTop = row * ROW;
    else if ((row + 1) * ROW > el.scrollTop + el.clientHeight) el.scrollTop = (row + 1) * ROW - el.clientHeight;
  };
  const move = (by: number) => {
    const row = Math.max(0, Math.min(rows.length - 1, index < 0 ? 0 : index + by));
    const span = tree.spans[rows[row] ?? 0];
    if (span) { choose(span.id); show(row); }
  };
  const toggle = useCallback((id: string, open: boolean) => {
    const next = new Set(closed);
    if (open) next.delete(id);
    else next.add(id);
    setClosed(next);
  }, [closed, setClosed]);
  useKeys({
    j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1),
    ArrowLeft: () => { if (chosen) toggle(chosen, false); }, ArrowRight: () => { if (chosen) toggle(chosen, true); },
    "+": () => zoomBy(0.5), "=": () => zoomBy(0.5), "-": () => zoomBy(2), "0": () => setView(null), Escape: () => choose(""),
    z: () => { const s = tree.spans[rows[index] ?? -1]; if (s) setView({ from: s.start, to: s.end ?? now() }); },
  });
  // A link to a span shows it.
  const linked = useRef(false);
  useEffect(() => { if (!linked.current && index >= 0 && size.height > 0) { linked.current = true; show(index); } }, [index, size.height]);

  // Labels and bars have to move in the same frame: what is rendered is drawn at once.
  const scrolled = () => {
    const top = Math.floor((box.current?.scrollTop ?? 0) / ROW);
    if (top === first) draw.current();
    else flushSync(() => setFirst(top));
  };
  const last = Math.min(rows.length, first + Math.ceil(size.height / ROW) + 2);
  return (
    <div className="timeline">
      <Overview canvas={overview} whole={() => wholeAt(now())} setView={setView} />
      <div className="axis">
        <canvas ref={axis} aria-hidden="true" />
        <div className="zoomer">
          <button className="button plain small" onClick={() => zoomBy(2)} aria-label="Zoom out">−</button>
          <button className="button plain small" onClick={() => zoomBy(0.5)} aria-label="Zoom in">+</button>
          <button className="button plain small" onClick={() => setView(null)} disabled={!view}>All</button>
        </div>
      </div>
      <div className="waterfall" ref={box} onScroll={scrolled}
        role="tree" aria-label="Spans" tabIndex={0} aria-activedescendant={index >= first && index < last ? "span-" + chosen : undefined}>
        <div className="rowspace" style={{ height: rows.length * ROW }}>
          <canvas ref={bars} className="bars" aria-hidden="true" />
          {Array.from({ length: Math.max(0, last - first) }, (_, i) => {
            const at = rows[first + i];
            const span = at === undefined ? undefined : tree.spans[at];
            if (at === undefined || !span) return null;
            return <Row key={span.id} span={span} row={first + i} depth={flat ? 0 : (tree.depth[at] ?? 0)} parent={!flat && (tree.until[at] ?? 0) > at + 1} open={!closed.has(span.id)} selected={span.id === chosen} left={left} choose={choose} toggle={toggle} />;
          })}
        </div>
      </div>
    </div>
  );
}

interface RowProps {
  span: Span; row: number; depth: number; parent: boolean; open: boolean; selected: boolean; left: number;
  choose: (id: string) => void; toggle: (id: string, open: boolean) => void;
}

/** Memoised: of the rows that are seen, few change while they are scrolled. */
const Row = memo(function Row({ span, row, depth, parent, open, selected, left, choose, toggle }: RowProps) {
  return (
    <div id={"span-" + span.id} className="spanrow" style={{ top: row * ROW }} role="treeitem" aria-level={depth + 1} aria-expanded={parent ? open : undefined} aria-selected={selected} onClick={() => choose(span.id)}>
      <div className="spanlabel" style={{ width: left, paddingLeft: 8 + Math.min(depth, 24) * 14 }}>
        {parent ? <button className="twisty" tabIndex={-1} aria-label={open ? "Close" : "Open"} onClick={(e) => { e.stopPropagation(); toggle(span.id, !open); }}>{open ? "▼" : "▶"}</button> : <span className="twisty" />}
        <i className={"kindmark bar-" + (span.failed ? "bad" : span.kind)} />
        <bdi className={"spanname" + (span.failed ? " bad" : "")}>{spanName(oneLine(span.name, 120))}</bdi>
        {span.agent !== "" && span.agent !== "/" && <bdi className="faint">{span.agent.slice(0, 60)}</bdi>}
        {span.note !== "" && <bdi className="faint clip spannote">{oneLine(span.note)}</bdi>}
      </div>
    </div>
  );
});

/** The whole run in a strip: drag to look closer, double click for all of it. */
function Overview({ canvas, whole, setView }: { canvas: React.RefObject<HTMLCanvasElement | null>; whole: () => View; setView: (v: View | null) => void }) {
  const from = useRef<number>(undefined);
  const at = (e: React.PointerEvent) => {
    const box = e.currentTarget.getBoundingClientRect();
    const w = whole();
    return w.from + Math.max(0, Math.min(1, (e.clientX - box.left) / box.width)) * (w.to - w.from);
  };
  return (
    <div
      className="overview" title="Drag to look closer, double click for all of it"
      onPointerDown={(e) => { from.current = at(e); e.currentTarget.setPointerCapture(e.pointerId); }}
      onPointerMove={(e) => {
        const [a, b, w] = [from.current, at(e), whole()];
        if (a !== undefined && Math.abs(b - a) > (w.to - w.from) / 500) setView({ from: Math.min(a, b), to: Math.max(a, b) });
      }}
      onPointerUp={() => { from.current = undefined; }}
      onDoubleClick={() => setView(null)}
    >
      <canvas ref={canvas} aria-hidden="true" />
    </div>
  );
}

/** Zooms with Ctrl and the wheel, pans with Shift; the plain wheel scrolls rows. */
function useWheel(box: React.RefObject<HTMLElement | null>, left: number, view: View, zoomBy: (factor: number, about: number) => void, panBy: (by: number) => void): void {
  const current = useRef({ left, view, zoomBy, panBy });
  useEffect(() => { current.current = { left, view, zoomBy, panBy }; });
  useEffect(() => {
    const el = box.current;
    if (!el) return;
    const wheel = (e: WheelEvent) => {
      const { left: l, view: v, zoomBy: z, panBy: p } = current.current;
      const plot = Math.max(1, el.clientWidth - l - 12);
      const sideways = e.shiftKey ? e.deltaY || e.deltaX : e.deltaX;
      if (e.ctrlKey || e.metaKey) {
        e.preventDefault();
        const x = e.clientX - el.getBoundingClientRect().left - l;
        z(Math.exp(e.deltaY / 300), v.from + (Math.max(0, x) / plot) * (v.to - v.from));
      } else if (sideways !== 0 && Math.abs(sideways) >= Math.abs(e.shiftKey ? 0 : e.deltaY)) {
        e.preventDefault();
        p((sideways / plot) * (v.to - v.from));
      }
    };
    el.addEventListener("wheel", wheel, { passive: false }); // React's own listeners may not prevent
    return () => el.removeEventListener("wheel", wheel);
  }, [box]);
}
