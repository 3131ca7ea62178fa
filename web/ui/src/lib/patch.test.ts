import { expect, test } from "vitest";
import { parsePatch, unquote } from "./patch";

const PATCH = `diff --git a/a b/c.go b/a b/c.go
--- a/a b/c.go
+++ b/a b/c.go
@@ -1,3 +1,4 @@ func main() {
 one
-two
+2
+--- a/fake
 three
\\ No newline at end of file
diff --git a/gone b/gone
deleted file mode 100644
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-diff --git a/x b/x
diff --git "a/\\303\\266\\n.txt" "b/\\303\\266\\n.txt"
new file mode 100644
--- /dev/null
+++ "b/\\303\\266\\n.txt"
@@ -0,0 +1 @@
+x
diff --git a/bin b/bin
Binary files a/bin and b/bin differ
# cut here: 3 of 9 changes are not shown
`;

test("files, lines and their numbers", () => {
  const files = parsePatch(PATCH);
  expect(files.map((f) => [f.path, f.added, f.removed])).toEqual([["a b/c.go", 2, 1], ["gone", 0, 1], ["ö\n.txt", 1, 0], ["bin", 0, 0]]);
  expect(files[0]?.lines.map((l) => [l.kind, l.old, l.new, l.text])).toEqual([
    ["hunk", null, null, "lines 1–3 → lines 1–4 func main() {"], ["same", 1, 1, "one"], ["del", 2, null, "two"], ["add", null, 2, "2"], ["add", null, 3, "--- a/fake"], ["same", 3, 4, "three"],
    ["hunk", null, null, "No newline at end of file"],
  ]);
  expect(files[3]?.notes).toEqual(["Binary files a/bin and b/bin differ", "# cut here: 3 of 9 changes are not shown"]);
});

test("a line of a file is never taken for a header", () => {
  expect(parsePatch(PATCH)[1]?.lines[1]).toEqual({ kind: "del", text: "diff --git a/x b/x", old: 1, new: null });
});

test("nothing, and what is no diff", () => {
  expect(parsePatch("")).toEqual([]);
  expect(parsePatch("@@ -1 +1 @@\n+x\n")).toEqual([]);
});

test("names are unquoted as git quotes them", () => expect(unquote('a\\"b\\\\c\\t\\303\\244')).toBe('a"b\\c\tä'));
