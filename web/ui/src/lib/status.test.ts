import { expect, test } from "vitest";
import { callTone, decisionTone, effectTone, runLook, verdictLook } from "./status";

test("what the contract calls a status has a look of its own", () => {
  const looks = ["running", "held", "paused", "done", "failed", "stopped"].map((s) => runLook(s));
  expect(looks.map((l) => l.word)).toEqual(["running", "waits for you", "paused", "done", "failed", "stopped"]);
  expect(looks.map((l) => l.tone)).toEqual(["info", "warn", "warn", "good", "bad", "warn"]);
  expect(looks.filter((l) => l.live)).toHaveLength(1);
  expect(runLook("paused", "budget").word).toBe("paused: budget");
  expect(runLook("something new").word).toBe("something new");
});

test("what goes wrong or reaches far stands out", () => {
  expect(["ok", "error", "denied", "held", "running", "dropped"].map(callTone)).toEqual(["good", "bad", "bad", "warn", "info", "warn"]);
  expect([effectTone("read", "workspace"), effectTone("read", "external"), effectTone("write", "external"), effectTone("delete", "workspace")]).toEqual(["none", "warn", "bad", "warn"]);
  expect([decisionTone("allow"), decisionTone("hold"), decisionTone("deny")]).toEqual(["good", "warn", "bad"]);
});

test("only a signed and coherent run is called verified", () => {
  expect(["verified", "unsigned", "failed", ""].map((v) => verdictLook(v).tone)).toEqual(["good", "warn", "bad", "none"]);
});
