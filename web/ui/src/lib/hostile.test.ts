import { expect, test } from "vitest";
import { cut, oneLine, pieces } from "./hostile";

const flat = (text: string) => pieces(text).map((p) => ("text" in p ? p.text : `[${p.mark}]`)).join("");

test("plain text stays one piece, markup too", () => {
  expect(pieces("<script>alert(1)</script>\n\tañ 語 👩‍👩‍👧")).toEqual([{ text: "<script>alert(1)</script>\n\tañ 語 👩‍👩‍👧" }]);
});

test.each([
  ["rm \u202etxt.exe", "rm [U+202E]txt.exe"], ["a\u200bb", "a[U+200B]b"], ["\u001b[31mred", "[U+001B][31mred"], ["a\u0000b", "a[U+0000]b"], ["a\rb", "a[U+000D]b"],
  ["a\r\nb", "a\nb"], ["\u2066x\u2069", "[U+2066]x[U+2069]"], ["hi\u{e0041}", "hi[U+E0041]"], ["\ufeffx", "[U+FEFF]x"], ["\u0085", "[U+0085]"], ["line\u2028sep", "line[U+2028]sep"],
])("what reorders or hides is marked: %j", (text, shown) => expect(flat(text)).toBe(shown));

test("binary bytes end in a bounded number of pieces", () => expect(pieces("\u0001".repeat(100_000)).length).toBe(2000));

test("a long text is cut by lines, and says what is missing", () => {
  expect(cut("a\nb\nc\nd\ne\n", 2, 100)).toEqual({ text: "a\nb", moreChars: 7, moreLines: 3 });
  expect(cut("a\nb\nc\n", 2, 100).moreChars).toBe(0); // one more line takes the place of "one more line"
  expect(cut("a\nb\n", 2, 100)).toEqual({ text: "a\nb\n", moreChars: 0, moreLines: 0 });
  expect(cut("", 2, 100)).toEqual({ text: "", moreChars: 0, moreLines: 0 });
});

test("a line of a megabyte is cut by characters, between two of them", () => {
  const part = cut("👍".repeat(500_000), 10, 1001);
  expect(part.text.length).toBe(1000);
  expect(part.moreChars).toBe(999_000);
});

test("one line has no line feeds, marks or ends in the middle of a character", () => {
  expect(oneLine("  a\n\n b\u202ec ")).toBe("a b·c");
  expect(oneLine("x".repeat(1_000_000), 20)).toBe("x".repeat(19) + "…");
  expect(oneLine("👍".repeat(20), 4)).toBe("👍…");
});
