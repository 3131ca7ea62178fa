// Numbers, times and sizes for people. All inputs may come from a server that is newer than this
// page, so whatever is no number shows as a dash and never as NaN.

const DASH = "–";

/** A duration given in milliseconds: "<1 ms", "12 ms", "1.4 s", "3m 20s", "2h 05m", "3d 4h". */
export function duration(ms: number | null | undefined): string {
  if (ms == null || !Number.isFinite(ms) || ms < 0) return DASH;
  if (ms > 0 && ms < 1) return "<1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${pad(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${pad(Math.floor((seconds % 3600) / 60))}m`;
  return `${Math.floor(seconds / 86_400)}d ${Math.floor((seconds % 86_400) / 3600)}h`;
}

function pad(n: number): string {
  return String(n).padStart(2, "0");
}

/** A whole number with its thousands apart. Strings hold what a number could not (an int64). */
export function integer(n: number | string | null | undefined): string {
  if (n == null || n === "") return DASH;
  const text = typeof n === "number" ? (Number.isFinite(n) ? Math.round(n).toString() : "") : n;
  if (!/^-?\d+$/.test(text)) return DASH;
  return text.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** A count in few characters: 950, 12.3k, 4.1M. */
export function compact(n: number | null | undefined): string {
  if (n == null || !Number.isFinite(n)) return DASH;
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    // 999,950 would round to 1000.0k: it is 1.0M already.
    if (n >= size * 0.99995 && n >= 1000) return `${(n / size).toFixed(n >= 100 * size ? 0 : 1)}${unit}`;
  }
  return String(Math.round(n));
}

export function bytes(n: number | null | undefined): string {
  if (n == null || !Number.isFinite(n)) return DASH;
  if (n < 1024) return `${n} B`;
  for (const [size, unit] of [[1024 ** 3, "GiB"], [1024 ** 2, "MiB"], [1024, "KiB"]] as const) {
    if (n >= size) return `${(n / size).toFixed(n >= 100 * size ? 0 : 1)} ${unit}`;
  }
  return DASH;
}

/** US dollars from their decimal text. Nothing known is "unknown", never $0. */
export function dollars(text: string | null | undefined): string {
  if (text == null || text === "") return "unknown";
  const n = Number(text);
  if (!Number.isFinite(n)) return "unknown";
  if (n === 0) return "$0";
  if (Math.abs(n) < 0.0001) return "<$0.0001";
  return `$${n.toFixed(Math.abs(n) < 1 ? 4 : 2)}`;
}

export function plural(n: number, noun: string, nouns = noun + "s"): string {
  return `${integer(n)} ${n === 1 ? noun : nouns}`;
}

/** How long before now: "now", "42 s ago", "5 min ago", "3 h ago", then the date. */
export function ago(iso: string | null | undefined, now: number): string {
  const at = instant(iso);
  if (at == null) return DASH;
  const s = Math.round((now - at) / 1000);
  if (s < 5) return "now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  return day(at);
}

/** Milliseconds since 1970, with the fraction that RFC 3339 nanoseconds have and Date drops. */
export function instant(iso: string | null | undefined): number | null {
  if (!iso) return null;
  const at = Date.parse(iso);
  if (Number.isNaN(at)) return null;
  const beyond = /\.\d{3}(\d+)/.exec(iso)?.[1];
  return beyond ? at + Number(`0.${beyond}`) : at;
}

export function clock(iso: string | null | undefined): string {
  const at = instant(iso);
  if (at == null) return DASH;
  const d = new Date(at);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}

function day(at: number): string {
  const d = new Date(at);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
}

/** Date and time, local, to the second. */
export function moment(iso: string | null | undefined): string {
  const at = instant(iso);
  return at == null ? DASH : `${day(at)} ${clock(iso)}`;
}

/** A hash or an id in its first characters, its prefix left out. */
export function short(hash: string | null | undefined, length = 12): string {
  if (!hash) return DASH;
  return hash.replace(/^sha256:/, "").slice(0, length);
}

/** The part of a run's id that tells runs apart: a UUIDv7 begins with the time, its end is chance. */
export function shortRun(id: string): string {
  return id.length > 12 ? id.slice(-8) : id;
}
