// Names of models for people: a scripted one is named by the path of its file, of which the end tells most.

export function modelName(model: string): string {
  const slash = model.indexOf("/");
  const provider = model.slice(0, slash);
  if (slash < 0 || !/^(script|local|record)$/.test(provider)) return model;
  return `${provider}/${model.slice(model.lastIndexOf("/") + 1)}`;
}

/** The name of a span for people: of a path at its end, as a scripted model has, the last part tells most. */
export function spanName(name: string): string {
  return name.replace(/ \/(?:[^\s/]+\/)+(?=[^\s/]+$)/, " …/");
}

export interface ChatMessage {
  content: string;
  reasoning: string;
  calls: { tool: string; args: string }[];
}

/** A chat message as it is stored; null if the text is none (or only the beginning of one). */
export function chatMessage(text: string): ChatMessage | null {
  let m: unknown;
  try {
    m = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof m !== "object" || m === null || !("role" in m)) return null;
  const calls = "tool_calls" in m && Array.isArray(m.tool_calls) ? (m.tool_calls as unknown[]) : [];
  return { content: stringAt(m, "content"), reasoning: stringAt(m, "reasoning_content"), calls: calls.map((c) => ({ tool: stringAt(at(c, "function"), "name"), args: indented(stringAt(at(c, "function"), "arguments")) })) };
}

function at(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

function stringAt(value: unknown, key: string): string {
  const found = at(value, key);
  return typeof found === "string" ? found : "";
}

/** Indents JSON where that changes nothing else: a number beyond 2^53 would come out as another one. */
export function indented(json: string): string {
  try {
    const value: unknown = JSON.parse(json);
    return JSON.stringify(value) === json ? JSON.stringify(value, null, 2) : json;
  } catch {
    return json;
  }
}

/** A call's arguments, one by one, texts as they are; null if that would change or leave out anything. */
export function argumentsOf(json: string): { name: string; value: string }[] | null {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value) || JSON.stringify(value) !== json) return null;
  return Object.entries(value).map(([name, v]) => ({ name, value: typeof v === "string" ? v : JSON.stringify(v, null, 2) }));
}
