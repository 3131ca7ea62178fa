// Reads a unified diff. It comes from our own server, but the lines in it do not: whatever a file holds
// must not be taken for a header, so lengths in hunk headers decide, not how a line looks.

export interface PatchLine {
  kind: "add" | "del" | "same" | "hunk";
  text: string;
  old: number | null;
  new: number | null;
}

export interface FilePatch {
  path: string;
  lines: PatchLine[];
  /** Lines between the headers: modes, renames, "Binary files … differ". */
  notes: string[];
  added: number;
  removed: number;
}

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)$/;

export function parsePatch(text: string): FilePatch[] {
  const files: FilePatch[] = [];
  let file: FilePatch | undefined;
  const lines = text.split("\n");
  if (lines[lines.length - 1] === "") lines.pop();
  for (let i = 0; i < lines.length; ) {
    const line = lines[i] as string;
    const hunk = file && HUNK.exec(line);
    if (hunk && file) {
      i = readHunk(lines, i, hunk, file);
      continue;
    }
    if (line.startsWith("diff --git ")) {
      file = { path: pathOf(line), lines: [], notes: [], added: 0, removed: 0 };
      files.push(file);
    } else if (file) readHeader(file, line);
    i++;
  }
  return files;
}

/** What "diff --git a/x b/x" names: the second path. Both are the same but for a rename. */
function pathOf(line: string): string {
  const names = line.slice("diff --git ".length);
  const quoted = /^(?:"(?:[^"\\]|\\.)*"|.*?) "((?:[^"\\]|\\.)*)"$/.exec(names)?.[1];
  if (quoted !== undefined) return unquote(quoted).replace(/^b\//, "");
  const half = names.slice((names.length + 1) / 2);
  if (names.slice(2, half.length) === half.slice(2)) return half.slice(2);
  return names.slice(names.lastIndexOf(" b/") + 3);
}

function readHeader(file: FilePatch, line: string): void {
  if (line.startsWith("+++ ") && line !== "+++ /dev/null") file.path = named(line.slice(4));
  else if (!line.startsWith("--- ") && !line.startsWith("+++ ") && !line.startsWith("index ") && line !== "") file.notes.push(line);
}

function named(text: string): string {
  const path = /^"(.*)"\t?$/.exec(text)?.[1];
  return (path === undefined ? (text.split("\t")[0] ?? "") : unquote(path)).replace(/^[ab]\//, "");
}

const ESCAPES: Record<string, number> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13, '"': 34, "\\": 92 };

/** Undoes git's quoting of names, whose octal numbers are bytes of UTF-8. */
export function unquote(text: string): string {
  const out: number[] = [];
  const encoder = new TextEncoder();
  for (const m of text.matchAll(/\\([0-7]{3})|\\(.)|([^\\]+)/gs)) {
    if (m[1] !== undefined) out.push(parseInt(m[1], 8) & 255);
    else if (m[2] !== undefined) out.push(ESCAPES[m[2]] ?? 63);
    else out.push(...encoder.encode(m[3] ?? ""));
  }
  return new TextDecoder().decode(new Uint8Array(out));
}

function span(first: number, count: number): string {
  if (count === 0) return "nothing";
  return count === 1 ? `line ${first}` : `lines ${first}–${first + count - 1}`;
}

function readHunk(lines: readonly string[], at: number, hunk: RegExpExecArray, file: FilePatch): number {
  let [oldAt, newAt] = [Number(hunk[1]), Number(hunk[3])];
  let [oldLeft, newLeft] = [Number(hunk[2] ?? 1), Number(hunk[4] ?? 1)];
  const was = span(oldAt, oldLeft), is = span(newAt, newLeft);
  file.lines.push({ kind: "hunk", text: `${was === is ? is : `${was} → ${is}`}${hunk[5] ?? ""}`, old: null, new: null });
  let i = at + 1;
  for (; i < lines.length && (oldLeft > 0 || newLeft > 0 || (lines[i] as string).startsWith("\\")); i++) {
    const line = lines[i] as string;
    const text = line.slice(1);
    if (line.startsWith("+")) {
      file.lines.push({ kind: "add", text, old: null, new: newAt++ });
      file.added++;
      newLeft--;
    } else if (line.startsWith("-")) {
      file.lines.push({ kind: "del", text, old: oldAt++, new: null });
      file.removed++;
      oldLeft--;
    } else if (line.startsWith("\\")) {
      file.lines.push({ kind: "hunk", text: text.trim(), old: null, new: null });
    } else {
      file.lines.push({ kind: "same", text, old: oldAt++, new: newAt++ });
      oldLeft--;
      newLeft--;
    }
  }
  return i;
}
