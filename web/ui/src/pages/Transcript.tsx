// The run as a story, and beside it everything that is known of the chosen step.
import { useCallback, useEffect, useRef, useState } from "react";
import { useNavigate, useSearchParams } from "react-router";
import type { Item, LivePiece } from "../api/words";
import { plural } from "../lib/format";
import { afterCalls, beforeTurn, indexOfSeq } from "../lib/story";
import { Foreign } from "../parts/Foreign";
import { useKeys } from "../parts/keys";
import { Empty, ErrorNotice, Skeleton } from "../parts/Notice";
import { VirtualList, type ListHandle } from "../parts/VirtualList";
import { useRun } from "./context";
import { ItemDetail } from "./ItemDetail";
import { StoryItem } from "./StoryItem";
import { useStory } from "./useStory";

const keyOf = (item: Item) => item.seq;

function estimate(item: Item): number {
  if (item.type === "event") return 34;
  if (item.type === "start") return 120;
  const text = item.type === "turn" ? (item.turn?.message?.text ?? "") : (item.call?.result?.text ?? "");
  const lines = Math.min(6, text.split("\n", 7).length);
  return (item.type === "turn" ? 60 : 74) + lines * 19;
}

export function TranscriptView() {
  const { id, run, newest } = useRun();
  const [search, setSearch] = useSearchParams();
  const chosen = search.has("seq") ? Number(search.get("seq")) : undefined;
  const journal = run.summary.source === "tacho";
  const ended = run.summary.status !== "running" && (run.summary.ended_at !== undefined || !journal);
  const { story, loaded, error, pieces, earlier, later, jump } = useStory(id, chosen ?? (ended ? 0 : "end"));
  const { items } = story;
  const at = chosen === undefined ? -1 : indexOfSeq(items, chosen);
  const list = useRef<ListHandle>(null);
  const [atEnd, setAtEnd] = useState(false);
  const navigate = useNavigate();

  const choose = useCallback((seq: number) => {
    setSearch((s) => { const next = new URLSearchParams(s); next.set("seq", String(seq)); return next; }, { replace: true });
  }, [setSearch]);
  const move = (by: number) => {
    const next = items[Math.max(0, Math.min(items.length - 1, at < 0 ? 0 : at + by))];
    if (next) choose(next.seq);
  };
  useKeys({
    j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1),
    s: () => { const item = items[at]; if (item && journal) void navigate(`/runs/${id}/state?seq=${item.last}`); },
    f: () => { const item = items[at]; if (item && journal) void navigate(`/runs/${id}/fork?seq=${beforeTurn(items, at)}${item.type === "turn" || item.type === "call" ? "&turn=1" : ""}`); },
    r: () => { const item = items[at]; if (item?.call && item.call.index >= 0 && journal) void navigate(`/runs/${id}/fork?seq=${afterCalls(items, at)}&result=${item.seq}`); },
    Home: () => jump(0), End: () => { if (story.next === undefined) list.current?.toEnd(); else jump("end"); },
  });

  // Shows the chosen step once it is there, and when it changes; a run that goes on shows its end.
  const shown = useRef<number>(undefined);
  useEffect(() => {
    if (!loaded || items.length === 0) return;
    if (at >= 0 && shown.current !== chosen) list.current?.show(at, shown.current === undefined ? "start" : "nearest");
    else if (at < 0 && shown.current === undefined && !ended) list.current?.toEnd();
    shown.current = chosen ?? -1;
  }, [loaded, items.length, at, chosen, ended]);

  if (error && !loaded) return <div className="page narrow"><ErrorNotice error={error} retry={() => jump(chosen ?? 0)} /></div>;
  if (!loaded) return <div key="waiting" className="story waiting"><Skeleton lines={12} /></div>;
  if (items.length === 0) return <Empty title="Nothing has happened yet"><p>Steps appear here as they are taken.</p></Empty>;
  const last = items[items.length - 1]?.last ?? 0;
  return (
    <div className="split">
      <div className="pane">
        <VirtualList
          rows={items} keyOf={keyOf} estimate={estimate} nearStart={earlier} nearEnd={later} stick={!ended && story.next === undefined} onEnd={setAtEnd}
          handle={list} className="story" label="Transcript"
          footer={
            <>
              {error && <ErrorNotice error={error} retry={later} />}
              {story.next !== undefined && <Skeleton lines={3} />}
              {story.next === undefined && [...pieces.values()].map((p) => <Live key={p.agent} piece={p} />)}
              {!ended && (!atEnd || story.next !== undefined) && (
                <div className="newitems"><button className="button" onClick={() => { if (story.next === undefined) list.current?.toEnd(); else jump("end"); }}>
                  {newest > last ? `${plural(newest - last, "new entry", "new entries")} ↓` : "To the end ↓"}
                </button></div>
              )}
            </>
          }
        >
          {(item, index) => <StoryItem item={item} before={items[index - 1]} selected={index === at} choose={choose} />}
        </VirtualList>
      </div>
      <aside className="pane" aria-label="Details">
        {items[at] ? <ItemDetail key={items[at].seq} item={items[at]} forkAt={beforeTurn(items, at)} resultAt={afterCalls(items, at)} /> : (
          <Empty title="Choose a step"><p>Click one, or press <kbd>j</kbd> and <kbd>k</kbd>. {run.summary.entries !== undefined && `${plural(run.summary.entries, "entry is", "entries are")} in the journal.`}</p></Empty>
        )}
      </aside>
    </div>
  );
}

function Live({ piece }: { piece: LivePiece }) {
  return (
    <div className="livepiece foreign" aria-live="off">
      <span className="faint">{piece.agent === "/" ? "" : piece.agent + " "}{piece.kind === "reasoning" ? "thinks " : piece.kind === "output" ? "prints " : ""}</span>
      <Foreign text={piece.text.slice(-1200)} /><i className="caret" />
    </div>
  );
}
