// A conversation as it was last sent to the model, after an entry.
import { useState } from "react";
import { useSearchParams } from "react-router";
import { listMessages } from "../api/client";
import { useResource } from "../api/resource";
import type { Message, State } from "../api/words";
import { bytes, integer } from "../lib/format";
import { Args } from "../parts/Args";
import { Line } from "../parts/Foreign";
import { Empty, ErrorNotice, Skeleton } from "../parts/Notice";
import { TextBlock } from "../parts/TextBlock";
import { useRun } from "./context";
import { useKept } from "./State";

const PAGE = 200;

export function MessagesView({ at, state }: { at: number; state: State }) {
  const { id } = useRun();
  const [search, setSearch] = useSearchParams();
  const path = search.get("agent") ?? "/";
  const agent = state.agents.find((a) => a.path === path);
  const [from, setFrom] = useState<number>();
  const start = from ?? Math.max(0, (agent?.messages ?? 0) - PAGE);
  const list = useResource(agent ? `messages/${id}/${at}/${path}/${start}` : null, (signal) => listMessages(id, at, path, start, signal), true);
  const seen = useKept(list.data);
  if (list.error) return <div className="page narrow"><ErrorNotice error={list.error} retry={list.reload} /></div>;
  return (
    <div className="scroll">
      <div className="story">
        {state.agents.length > 1 && (
          <label className="row agentpick">Agent <select className="field" value={path} onChange={(e) => { setFrom(undefined); setSearch((s) => { const n = new URLSearchParams(s); n.set("agent", e.target.value); return n; }, { replace: true }); }}>
            {state.agents.map((a) => <option key={a.path} value={a.path}>{a.path} ({a.status})</option>)}
          </select></label>
        )}
        {!seen ? (agent && agent.messages > 0 ? <Skeleton lines={8} /> : <Empty title="Nothing was sent yet"><p>At this entry the model had not been asked. Move the slider forward.</p></Empty>)
          : seen.total === 0 ? <Empty title="Nothing was sent yet"><p>At this entry the model had not been asked. Move the slider forward.</p></Empty>
          : (
            <>
              {(seen.messages[0]?.index ?? 0) > 0 && <button className="button small" onClick={() => setFrom(Math.max(0, start - PAGE))}>Earlier messages ({integer(seen.messages[0]?.index ?? 0)})</button>}
              {seen.messages.map((m) => <OneMessage key={`${m.index} ${m.ref}`} message={m} />)}
              {seen.next !== undefined && <button className="button small" onClick={() => setFrom(seen.next)}>Later messages ({integer(seen.total - seen.next)})</button>}
            </>
          )}
        {seen && agent?.answer && agent.answer.size > 0 && <div className="message"><div className="who">answer, not sent back yet</div><TextBlock run={id} text={agent.answer} mono={false} /></div>}
      </div>
    </div>
  );
}

function OneMessage({ message: m }: { message: Message }) {
  const { id } = useRun();
  return (
    <article className={"message role-" + (["system", "user", "assistant", "tool"].includes(m.role) ? m.role : "other")}>
      <div className="who"><Line text={m.role} most={20} /><div className="faint">{m.index} · {bytes(m.size)}</div></div>
      <div className="stack">
        {m.reasoning && m.reasoning.size > 0 && <div className="thinks inmessage"><TextBlock run={id} text={m.reasoning} lines={4} mono={false} /></div>}
        {m.content && m.content.size > 0 && <TextBlock run={id} text={m.content} lines={m.role === "system" ? 6 : 12} mono={m.role === "tool"} />}
        {(m.calls ?? []).map((c) => <div key={c.id} className="call"><Line text={c.tool} className="mono strong" most={60} /><Args run={id} text={c.arguments} lines={8} /></div>)}
      </div>
    </article>
  );
}
