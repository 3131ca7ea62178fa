import { expect, test } from "vitest";
import { treeRows } from "./tree";

const files = ["src/b.go", "src/a/x.go", "README", "deep/er/est/file", "src/a/y.go"].map((path) => ({ path }));
const shown = (closed: string[] = []) => treeRows(files, new Set(closed)).map((r) => `${"  ".repeat(r.depth)}${r.name}${r.file ? "" : `/ ${r.count}`}`);

test("directories first, chains joined", () => {
  expect(shown()).toEqual(["deep/er/est/ 1", "  file", "src/ 3", "  a/ 2", "    x.go", "    y.go", "  b.go", "README"]);
});

test("what is closed hides what is in it", () => expect(shown(["src", "deep/er/est"])).toEqual(["deep/er/est/ 1", "src/ 3", "README"]));

test("a path keeps its whole name", () => expect(treeRows(files, new Set()).find((r) => r.name === "x.go")?.path).toBe("src/a/x.go"));
