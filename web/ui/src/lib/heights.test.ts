import { expect, test } from "vitest";
import { Heights } from "./heights";

test("offsets agree with adding up, however heights change", () => {
  let seed = 7;
  const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
  const own = Array.from({ length: 1000 }, () => Math.round(random() * 90) + 1);
  const h = new Heights(own.length, (i) => own[i] ?? 0);
  for (let round = 0; round < 2000; round++) {
    const i = Math.floor(random() * own.length);
    own[i] = Math.round(random() * 200);
    h.set(i, own[i] ?? 0);
    if (round % 400 !== 0) continue;
    const tops = own.map((_, n) => own.slice(0, n).reduce((sum, height) => sum + height, 0));
    expect(own.map((_, n) => h.top(n))).toEqual(tops);
    const wrong = own.filter((height, n) => height > 0 && (h.find(tops[n] ?? 0) !== n || h.find((tops[n] ?? 0) + height - 1) !== n));
    expect(wrong).toEqual([]);
    const top = own.reduce((sum, height) => sum + height, 0);
    expect(h.total).toBe(top);
  }
});

test("outside is the first and the last", () => {
  const h = new Heights(3, () => 10);
  expect([h.find(-50), h.find(0), h.find(29), h.find(500)]).toEqual([0, 0, 2, 2]);
  expect(new Heights(0, () => 1).find(5)).toBe(0);
  expect(h.set(9, 4)).toBe(0);
});
