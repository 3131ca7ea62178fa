// The arguments of a call: each one by its name, a text as the text it is. What is no whole JSON object is
// shown as it is stored.
import type { Text } from "../api/words";
import { cut } from "../lib/hostile";
import { argumentsOf } from "../lib/names";
import { Foreign, Line } from "./Foreign";
import { TextBlock } from "./TextBlock";

export function Args({ run, text, lines = 30 }: { run: string; text: Text; lines?: number }) {
  const args = text.cut || text.lost ? null : argumentsOf(text.text);
  const long = args?.some((a) => cut(a.value, lines, 4000).moreChars > 0);
  if (!args || args.length === 0 || long) return <TextBlock run={run} text={text} lines={lines} chars={4000} />;
  return (
    <dl className="args">
      {args.map((a) => <div key={a.name}><dt><Line text={a.name} most={60} /></dt><dd><pre className="foreign"><Foreign text={a.value} /></pre></dd></div>)}
    </dl>
  );
}
