import { expect, test } from "vitest";
import { givable, MAX_RESULT, resultsOf } from "./result";

test("only what is different is sent", () => {
  expect(resultsOf([{ call: 4, was: "a", text: "a" }, { call: 7, was: undefined, text: undefined }])).toHaveProperty("wrong");
  expect(resultsOf([{ call: 4, was: "a", text: "" }, { call: 7, was: undefined, text: "b" }, { call: 9, was: "c", text: undefined }])).toEqual({ results: [{ call: 4, text: "" }, { call: 7, text: "b" }] });
});

test("a result that no model could be told is refused with its size in bytes", () => {
  expect(resultsOf([{ call: 4, was: "a", text: "å".repeat(MAX_RESULT / 2) }])).toHaveProperty("results");
  expect(resultsOf([{ call: 4, was: "a", text: "å".repeat(MAX_RESULT / 2) + "x" }])).toEqual({ wrong: expect.stringContaining("call 4") as string });
});

test("neither the check nor what came from the parent can be given", () => {
  const call = { tool: "bash", phase: "ended" };
  expect(givable([{ ...call, call: -1, index: 0 }, { ...call, call: 5, index: -1 }, { ...call, call: 9, index: 1 }]).map((c) => c.call)).toEqual([9]);
});
