// What a model, a tool, a file or a person wrote is shown as text and nothing else. A browser does
// not run text, but text can still lie: a right-to-left override makes a command read as another
// one, a zero-width character hides in a name, and a line of a megabyte stops the page. So such
// characters get a visible mark, and long text is cut where it says so.

/** A piece of text: either shown as it is, or a mark in place of a character. */
export type Piece = { text: string } | { mark: string; name: string };

const NAMES: Record<number, string> = {
  0x00: "null", 0x07: "bell", 0x08: "backspace", 0x0b: "vertical tab", 0x0c: "form feed", 0x0d: "carriage return", 0x1b: "escape",
  0x7f: "delete", 0x061c: "Arabic letter mark", 0x200b: "zero-width space", 0x200e: "left-to-right mark", 0x200f: "right-to-left mark",
  0x202a: "left-to-right embedding", 0x202b: "right-to-left embedding", 0x202c: "pop directional formatting",
  0x202d: "left-to-right override", 0x202e: "right-to-left override", 0x2028: "line separator", 0x2029: "paragraph separator",
  0x2060: "word joiner", 0x2066: "left-to-right isolate", 0x2067: "right-to-left isolate", 0x2068: "first strong isolate",
  0x2069: "pop directional isolate", 0xfeff: "zero-width no-break space", 0xfffd: "not valid text",
};

// Control characters but tab and line feed; bidi controls; zero-width characters; tag characters,
// which spell invisible ASCII. Zero-width joiners stay: emoji and Indic scripts need them.
const MARKED =
  // eslint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffd]|[\u{e0000}-\u{e007f}]/gu;

/** Cuts text into plain pieces and marks. A carriage return before a line feed is dropped. */
export function pieces(text: string): Piece[] {
  const unix = text.includes("\r\n") ? text.replaceAll("\r\n", "\n") : text;
  const out: Piece[] = [];
  let from = 0;
  for (const m of unix.matchAll(MARKED)) {
    if (m.index > from) out.push({ text: unix.slice(from, m.index) });
    const code = m[0].codePointAt(0) ?? 0;
    const mark = "U+" + code.toString(16).toUpperCase().padStart(4, "0");
    out.push({ mark, name: NAMES[code] ?? (code >= 0xe0000 ? "invisible tag character" : "control character") });
    from = m.index + m[0].length;
    if (out.length >= MAX_PIECES) break; // binary bytes: what follows would only be more of it
  }
  if (from < unix.length && out.length < MAX_PIECES) out.push({ text: unix.slice(from) });
  return out;
}

const MAX_PIECES = 2000;

export interface Cut {
  text: string;
  /** Characters and lines of the whole that are not in text. */
  moreChars: number;
  moreLines: number;
}

/**
 * The beginning of a text, at most so many lines and characters. What is nearly whole is left whole:
 * "one more line" would take the line's place.
 */
export function cut(text: string, lines: number, chars: number): Cut {
  const end = endOfLine(text, lines);
  const fits = end >= text.length || endOfLine(text, lines + 1) >= text.length;
  let at = fits ? text.length : end;
  if (at > chars * 1.1) at = wholeCharacter(text, chars);
  if (at >= text.length) return { text, moreChars: 0, moreLines: 0 };
  return { text: text.slice(0, at), moreChars: text.length - at, moreLines: countLines(text, at) };
}

/** Where line number `lines` ends (without its line feed), or the text's length. */
function endOfLine(text: string, lines: number): number {
  let at = -1;
  for (let i = 0; i < lines; i++) {
    at = text.indexOf("\n", at + 1);
    if (at < 0) return text.length;
  }
  return at === text.length - 1 ? text.length : at;
}

function countLines(text: string, from: number): number {
  let n = 0;
  for (let at = text.indexOf("\n", from); at >= 0 && at < text.length - 1; at = text.indexOf("\n", at + 1)) n++;
  return n;
}

function wholeCharacter(text: string, at: number): number {
  const code = text.charCodeAt(at - 1);
  return code >= 0xd800 && code < 0xdc00 ? at - 1 : at;
}

/** One line of plain text for lists and titles: no line feeds, marks as "·", at most so long. */
export function oneLine(text: string, most = 300): string {
  const head = text.length > most * 4 ? text.slice(0, most * 4) : text;
  const line = head.replace(MARKED, "·").replace(/\s+/g, " ").trim();
  return line.length > most ? line.slice(0, wholeCharacter(line, most - 1)) + "…" : line;
}
