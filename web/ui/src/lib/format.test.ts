import { expect, test } from "vitest";
import { ago, bytes, compact, dollars, duration, instant, integer, plural, short, shortRun } from "./format";

test.each([
  [undefined, "–"], [null, "–"], [NaN, "–"], [-1, "–"], [0, "0 ms"], [0.4, "<1 ms"], [12.4, "12 ms"], [999, "999 ms"], [1400, "1.4 s"], [59_940, "59.9 s"],
  [59_960, "1m 00s"], [200_000, "3m 20s"], [7_500_000, "2h 05m"], [273_600_000, "3d 4h"],
])("duration of %s is %s", (ms, text) => expect(duration(ms)).toBe(text));

test.each([[0, "0"], [999, "999"], [1000, "1.0k"], [12_345, "12.3k"], [123_456, "123k"], [999_950, "1.0M"], [4_100_000, "4.1M"], [undefined, "–"]])(
  "compact %s is %s", (n, text) => expect(compact(n)).toBe(text));

test.each([[0, "0 B"], [1023, "1023 B"], [1024, "1.0 KiB"], [65_536, "64.0 KiB"], [1_048_576, "1.0 MiB"], [undefined, "–"]])("bytes %s is %s", (n, text) => expect(bytes(n)).toBe(text));

test("an integer keeps all its digits, also beyond what a number holds", () => {
  expect(integer("9007199254740993")).toBe("9\u202f007\u202f199\u202f254\u202f740\u202f993");
  expect(integer(1234)).toBe("1\u202f234");
  expect(integer("1e9")).toBe("–");
  expect(plural(1, "file")).toBe("1 file");
  expect(plural(2, "entry", "entries")).toBe("2 entries");
});

test("an unknown price is never nothing", () => {
  expect(dollars(undefined)).toBe("unknown");
  expect(dollars("")).toBe("unknown");
  expect(dollars("0")).toBe("$0");
  expect(dollars("0.00001")).toBe("<$0.0001");
  expect(dollars("0.0421")).toBe("$0.0421");
  expect(dollars("12.5")).toBe("$12.50");
});

test("times keep what Date drops", () => {
  const at = Date.parse("2026-11-23T18:24:00.123Z");
  expect(instant("2026-11-23T18:24:00.123456789Z")).toBeCloseTo(at + 0.456789, 6);
  expect(instant("nonsense")).toBeNull();
  expect(ago("2026-11-23T18:24:00.123Z", at + 61_000)).toBe("1 min ago");
  expect(ago("2026-11-23T18:24:00.123Z", at + 400)).toBe("now");
});

test("ids are shown by what tells them apart", () => {
  expect(shortRun("01a214df-b243-76fa-b53f-ee34dc35b05f")).toBe("dc35b05f");
  expect(short("sha256:abcdef0123456789")).toBe("abcdef012345");
});
