// A list of runs that is kept up to date by events.
import type { RunSummary } from "../api/words";

export interface Filter {
  q: string;
  status: readonly string[];
  source: string;
}

/** Whether the server would list a run under a filter. */
export function wanted(run: RunSummary, f: Filter): boolean {
  if (f.status.length > 0 && !f.status.includes(run.status)) return false;
  if (f.source && run.source !== f.source) return false;
  const text = `${run.goal}\n${run.model}\n${run.service ?? ""}\n${run.id}`.toLowerCase();
  return f.q.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** The list with a run put in its place, newest first, or taken out. */
export function place(runs: readonly RunSummary[], run: RunSummary, belongs: boolean): RunSummary[] {
  const others = runs.filter((r) => r.id !== run.id);
  if (!belongs) return others;
  const old = runs.findIndex((r) => r.id === run.id);
  if (old >= 0) return runs.map((r) => (r.id === run.id ? run : r));
  const at = others.findIndex((r) => r.started_at < run.started_at);
  return at < 0 ? [...others, run] : [...others.slice(0, at), run, ...others.slice(at)];
}
