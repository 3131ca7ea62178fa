import { expect, test } from "vitest";
import { argumentsOf, chatMessage, indented, modelName, spanName } from "./names";

test.each([["kimi/kimi-k2.6", "kimi/kimi-k2.6"], ["openai/a/b", "openai/a/b"], ["script//tmp/x/script.yaml", "script/script.yaml"], ["bare", "bare"], ["", ""]])("model %s is shown as %s", (model, shown) => expect(modelName(model)).toBe(shown));

test.each([["chat /tmp/x/script.yaml", "chat …/script.yaml"], ["chat kimi-k2.6", "chat kimi-k2.6"], ["plan /", "plan /"], ["plan /2/1", "plan …/1"], ["GET /api/runs", "GET …/runs"]])("span %s is shown as %s", (name, shown) => expect(spanName(name)).toBe(shown));

test("a chat message is told by its parts", () => {
  expect(chatMessage('{"role":"assistant","content":"hi","tool_calls":[{"id":"1","function":{"name":"bash","arguments":"{\\"a\\":1}"}}]}')).toEqual({ content: "hi", reasoning: "", calls: [{ tool: "bash", args: '{\n  "a": 1\n}' }] });
  expect(chatMessage('{"role":"assistant","content":null}')).toEqual({ content: "", reasoning: "", calls: [] });
  expect(chatMessage('{"role":"assistant","tool_calls":[7,{"function":[]}]}')?.calls).toHaveLength(2);
  for (const no of ["", "{", "[]", "null", '{"content":"x"}']) expect(chatMessage(no)).toBeNull();
});

test("indenting never changes a value", () => {
  expect(indented('{"n":9007199254740993}')).toBe('{"n":9007199254740993}');
  expect(indented('{"a":[1]}')).toBe('{\n  "a": [\n    1\n  ]\n}');
  expect(indented("no json")).toBe("no json");
});

test("arguments are told one by one, or not at all where that would hide something", () => {
  expect(argumentsOf('{"command":"a\\nb","n":[1]}')).toEqual([{ name: "command", value: "a\nb" }, { name: "n", value: "[\n  1\n]" }]);
  for (const no of ['{"a":1,"a":2}', '{"n":9007199254740993}', "[1]", "null", "x", '{ "a": 1 }']) expect(argumentsOf(no)).toBeNull();
});
