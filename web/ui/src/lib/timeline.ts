// The geometry of a waterfall: which rows there are, which are seen, and where time lies. Pure, so
// that 100,000 spans can be tested without a screen. Times are milliseconds since the trace began.

export interface Span {
  id: string;
  parent: string | null;
  name: string;
  /** agent, plan, chat, tool, other */
  kind: Kind;
  start: number;
  /** null while it is open. */
  end: number | null;
  failed: boolean;
  agent: string;
  seq: number | null;
  /** Why, or which step: shown faintly behind the name. */
  note: string;
}

export type Kind = "agent" | "plan" | "chat" | "tool" | "other";

/** Spans in the order in which they are shown, and what row drawing needs, by index. */
export interface Forest {
  spans: Span[];
  depth: Uint16Array;
  /** Index after a span's last descendant. */
  until: Uint32Array;
  start: number;
  end: number;
  open: number;
  /** Spans whose parent is not among them: lost, or still to come. */
  orphans: number;
}

/** Puts children under parents, by start time. Spans of a cycle, which hostile input has, become roots. */
export function forest(spans: readonly Span[]): Forest {
  const byId = new Map<string, number>();
  spans.forEach((s, i) => byId.set(s.id, i));
  const children: number[][] = spans.map(() => []);
  const roots: number[] = [];
  let orphans = 0;
  spans.forEach((s, i) => {
    const parent = s.parent === null ? undefined : byId.get(s.parent);
    if (parent === undefined || parent === i) {
      roots.push(i);
      if (s.parent !== null) orphans++;
    } else children[parent]?.push(i);
  });
  const earlier = (a: number, b: number) => (spans[a]?.start ?? 0) - (spans[b]?.start ?? 0) || a - b;
  roots.sort(earlier);
  for (const list of children) if (list.length > 1) list.sort(earlier);
  return lay(spans, roots, children, orphans);
}

function lay(spans: readonly Span[], roots: number[], children: number[][], orphans: number): Forest {
  const order: Span[] = [];
  const depth = new Uint16Array(spans.length);
  const until = new Uint32Array(spans.length);
  const placed = new Uint8Array(spans.length);
  // A stack, not recursion: a chain of 100,000 spans must not end the page.
  const visit = (root: number) => {
    const stack: { node: number; at: number; next: number }[] = [];
    const enter = (node: number) => {
      placed[node] = 1;
      const at = order.length;
      order.push(spans[node] as Span);
      depth[at] = Math.min(stack.length, 65_535);
      stack.push({ node, at, next: 0 });
    };
    enter(root);
    for (let top = stack[stack.length - 1]; top; top = stack[stack.length - 1]) {
      const child = children[top.node]?.[top.next++];
      if (child === undefined) {
        until[top.at] = order.length;
        stack.pop();
      } else if (!placed[child]) enter(child);
    }
  };
  roots.forEach(visit);
  for (let i = 0; i < spans.length; i++) if (!placed[i]) visit(i);
  let [start, end, open] = [Infinity, -Infinity, 0];
  for (const s of order) {
    start = Math.min(start, s.start);
    end = Math.max(end, s.end ?? s.start);
    if (s.end === null) open++;
  }
  if (order.length === 0) [start, end] = [0, 0];
  return { spans: order, depth, until, start, end, open, orphans };
}

/** Indexes of the rows to show, what lies under a closed span left out. */
export function visibleRows(f: Forest, closed: ReadonlySet<string>, wanted: ((s: Span) => boolean) | null): Uint32Array {
  const rows = new Uint32Array(f.spans.length);
  let n = 0;
  for (let i = 0; i < f.spans.length; ) {
    const s = f.spans[i] as Span;
    if (!wanted || wanted(s)) rows[n++] = i;
    i = closed.has(s.id) ? (f.until[i] ?? i + 1) : i + 1;
  }
  return rows.subarray(0, n);
}

export interface View {
  from: number;
  to: number;
}

/** Zooms about a point; never closer than a microsecond, never beyond the whole. */
export function zoom(view: View, whole: View, about: number, factor: number): View {
  const least = 0.001;
  const width = Math.min(Math.max((view.to - view.from) * factor, least), Math.max(whole.to - whole.from, least));
  const share = (about - view.from) / (view.to - view.from || 1);
  return clamp({ from: about - share * width, to: about + (1 - share) * width }, whole);
}

export function pan(view: View, whole: View, by: number): View {
  return clamp({ from: view.from + by, to: view.to + by }, whole);
}

function clamp(view: View, whole: View): View {
  const width = view.to - view.from;
  if (width >= whole.to - whole.from) return { ...whole };
  const from = Math.min(Math.max(view.from, whole.from), whole.to - width);
  return { from, to: from + width };
}

/** Round points in time for the axis, at most so many, labelled by their distance from the start. */
export function ticks(view: View, most: number): { at: number; label: string }[] {
  const width = view.to - view.from;
  if (!(width > 0) || most < 1) return [];
  const step = niceStep(width / most);
  const out: { at: number; label: string }[] = [];
  for (let i = Math.ceil(view.from / step); i * step <= view.to && out.length <= most + 1; i++) {
    out.push({ at: i * step, label: tickLabel(i * step, step) });
  }
  return out;
}

const LONG_STEPS = [60e3, 120e3, 300e3, 600e3, 1800e3, 3600e3, 7200e3, 21_600e3, 43_200e3, 86_400e3];

function niceStep(least: number): number {
  if (least > 30e3) return LONG_STEPS.find((s) => s >= least) ?? Math.ceil(least / 86_400e3) * 86_400e3;
  const power = 10 ** Math.floor(Math.log10(least));
  for (const m of [1, 2, 5, 10]) if (power * m >= least * 0.9999) return power * m;
  return power * 10;
}

function tickLabel(at: number, step: number): string {
  if (at === 0) return "0";
  if (step >= 60e3) {
    const minutes = Math.round(at / 60e3);
    if (minutes < 60) return `${minutes} min`;
    const hours = Math.floor(minutes / 60);
    return hours < 24 ? `${hours}:${String(minutes % 60).padStart(2, "0")} h` : `${Math.floor(hours / 24)}d ${hours % 24}h`;
  }
  if (step >= 1000) return `${Math.round(at / 1000)} s`;
  if (step >= 1) return at >= 1000 ? `${(at / 1000).toFixed(step >= 100 ? 1 : step >= 10 ? 2 : 3)} s` : `${Math.round(at)} ms`;
  return `${at.toFixed(step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3)} ms`;
}

/** How many spans are open in each column of the overview: what a run was busy with, at a glance. */
export function density(f: Forest, columns: number, now: number): { busy: Float32Array; failed: Uint8Array; most: number } {
  const edges = new Float32Array(columns + 1);
  const failed = new Uint8Array(columns);
  const end = Math.max(f.end, now);
  const scale = columns / Math.max(end - f.start, 1e-6);
  for (const s of f.spans) {
    const a = column(s.start, f.start, scale, columns);
    const b = column(s.end ?? end, f.start, scale, columns);
    edges[a] = (edges[a] ?? 0) + 1;
    edges[b + 1] = (edges[b + 1] ?? 0) - 1;
    if (s.failed) failed[b] = 1;
  }
  const busy = new Float32Array(columns);
  let [sum, most] = [0, 0];
  for (let i = 0; i < columns; i++) {
    sum += edges[i] ?? 0;
    busy[i] = sum;
    most = Math.max(most, sum);
  }
  return { busy, failed, most };
}

function column(at: number, start: number, scale: number, columns: number): number {
  return Math.min(columns - 1, Math.max(0, Math.floor((at - start) * scale)));
}
