// A turn that a fork gave, told as one and not as the bytes of a message.
import type { Text } from "../api/words";
import { chatMessage } from "../lib/names";
import { Line } from "./Foreign";
import { TextBlock } from "./TextBlock";

const whole = (text: string): Text => ({ text, size: new TextEncoder().encode(text).length, cut: false });

export function GivenTurn({ run, text }: { run: string; text: Text }) {
  const message = text.cut || text.lost ? null : chatMessage(text.text);
  if (!message) return <TextBlock run={run} text={text} lines={14} />;
  return (
    <div className="stack given">
      {message.content && <TextBlock run={run} text={whole(message.content)} mono={false} />}
      {message.calls.map((c, i) => <div key={i} className="box"><Line text={c.tool} className="mono strong boxtitle" most={60} /><TextBlock run={run} text={whole(c.args)} lines={20} chars={4000} /></div>)}
    </div>
  );
}
