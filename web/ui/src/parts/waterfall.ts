// Draws the bars that are seen, the axis and the overview. Only what is in view is drawn, so a frame
// costs the same for a hundred spans and for a hundred thousand.
import { duration } from "../lib/format";
import { ticks, type Forest, type Span, type View } from "../lib/timeline";
import type { Palette } from "./palette";

export const ROW = 24;

/** A canvas at the screen's own resolution; null while it is not shown. */
export function prepare(canvas: HTMLCanvasElement | null, width: number, height: number): CanvasRenderingContext2D | null {
  if (!canvas || width <= 0 || height <= 0) return null;
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}

export interface Scene {
  forest: Forest;
  rows: Uint32Array;
  view: View;
  now: number;
  left: number;
  width: number;
  height: number;
  scrollTop: number;
  selected: string | undefined;
  palette: Palette;
}

export function drawBars(c: CanvasRenderingContext2D, s: Scene): void {
  const plot = s.width - s.left - 12;
  const scale = plot / Math.max(s.view.to - s.view.from, 1e-9);
  c.save();
  c.beginPath();
  c.rect(s.left, 0, s.width - s.left, s.height);
  c.clip();
  c.fillStyle = s.palette.line;
  for (const tick of ticks(s.view, Math.max(1, plot / 110))) c.fillRect(Math.round(s.left + (tick.at - s.view.from) * scale), 0, 1, s.height);
  c.font = s.palette.font;
  c.textBaseline = "middle";
  const first = Math.floor(s.scrollTop / ROW);
  const last = Math.min(s.rows.length - 1, Math.ceil((s.scrollTop + s.height) / ROW));
  for (let row = first; row <= last; row++) {
    const span = s.forest.spans[s.rows[row] ?? 0];
    if (span) drawBar(c, s, span, row * ROW - s.scrollTop, scale, plot);
  }
  c.restore();
}

function drawBar(c: CanvasRenderingContext2D, s: Scene, span: Span, y: number, scale: number, plot: number): void {
  const end = span.end ?? Math.max(s.now, span.start);
  const x0 = s.left + (span.start - s.view.from) * scale;
  const x1 = s.left + (end - s.view.from) * scale;
  if (x1 < s.left || x0 > s.left + plot + 12) return;
  const from = Math.max(x0, s.left - 4);
  const width = Math.max(2, Math.min(x1, s.left + plot + 12) - from);
  c.fillStyle = span.failed ? s.palette.bad : s.palette[span.kind];
  c.beginPath();
  c.roundRect(from, y + 6, width, ROW - 12, 3);
  c.fill();
  if (span.end === null) drawOpen(c, s, from + width, y);
  c.fillStyle = s.palette.quiet;
  const label = span.end === null ? duration(end - span.start) + " …" : duration(end - span.start);
  const size = c.measureText(label).width;
  if (from + width + 6 + size < s.width) c.fillText(label, from + width + 6 + (span.end === null ? 6 : 0), y + ROW / 2 + 1);
  else if (from - 6 - size > s.left) c.fillText(label, from - 6 - size, y + ROW / 2 + 1);
}

/** The moving end of a span that has not ended. */
function drawOpen(c: CanvasRenderingContext2D, s: Scene, x: number, y: number): void {
  c.fillStyle = s.palette.accent;
  c.beginPath();
  c.arc(x, y + ROW / 2, 4, 0, 2 * Math.PI);
  c.fill();
}

export function drawAxis(c: CanvasRenderingContext2D, view: View, left: number, width: number, height: number, palette: Palette): void {
  const plot = width - left - 12;
  const scale = plot / Math.max(view.to - view.from, 1e-9);
  c.font = palette.font;
  c.textBaseline = "middle";
  for (const tick of ticks(view, Math.max(1, plot / 110))) {
    const x = Math.round(left + (tick.at - view.from) * scale);
    c.fillStyle = palette.strong;
    c.fillRect(x, height - 6, 1, 6);
    c.fillStyle = palette.faint;
    const size = c.measureText(tick.label).width;
    if (x + 4 + size <= width) c.fillText(tick.label, x + 4, height / 2);
  }
}

export interface Density {
  busy: Float32Array;
  failed: Uint8Array;
  most: number;
}

export function drawOverview(c: CanvasRenderingContext2D, d: Density, view: View, whole: View, width: number, height: number, palette: Palette): void {
  const step = width / d.busy.length;
  const room = height - 10;
  c.fillStyle = palette.tool;
  c.globalAlpha = 0.75;
  for (let i = 0; i < d.busy.length; i++) {
    const h = (Math.sqrt(d.busy[i] ?? 0) / Math.sqrt(d.most || 1)) * room;
    c.fillRect(i * step, height - h, Math.max(1, step), h);
  }
  c.globalAlpha = 1;
  c.fillStyle = palette.bad;
  for (let i = 0; i < d.failed.length; i++) if (d.failed[i]) c.fillRect(i * step - 0.5, 0, 2, 5);
  const size = Math.max(whole.to - whole.from, 1e-9);
  const [a, b] = [((view.from - whole.from) / size) * width, ((view.to - whole.from) / size) * width];
  if (b - a >= width - 1) return;
  c.fillStyle = palette.surface;
  c.globalAlpha = 0.72;
  c.fillRect(0, 0, a, height);
  c.fillRect(b, 0, width - b, height);
  c.globalAlpha = 1;
  c.fillStyle = palette.accent;
  c.fillRect(a, 0, 2, height);
  c.fillRect(b - 2, 0, 2, height);
}
