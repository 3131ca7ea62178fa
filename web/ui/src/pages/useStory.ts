// The transcript of a run: pages as they are scrolled to, and what happens meanwhile.
import { useCallback, useEffect, useRef, useState } from "react";
import { getTranscript, Problem } from "../api/client";
import { unanswered, useRetry } from "../api/resource";
import type { LivePiece, Transcript } from "../api/words";
import { append, begin, EMPTY, live, prepend, type Story } from "../lib/story";
import { useRun, useRunEvents } from "./context";

const PAGE = 100;

export interface Reading {
  story: Story;
  loaded: boolean;
  error: Problem | undefined;
  /** What the model or a tool says right now, by agent; gone as soon as it is an entry. */
  pieces: ReadonlyMap<string, LivePiece>;
  earlier: () => void;
  later: () => void;
  /** Reads from the entry, or from the end. */
  jump: (seq: number | "end") => void;
}

export function useStory(id: string, start: number | "end"): Reading {
  const [story, setStory] = useState<Story>(EMPTY);
  const [loaded, setLoaded] = useState(false);
  const [error, setError] = useState<Problem>();
  const [pieces, setPieces] = useState<ReadonlyMap<string, LivePiece>>(new Map());
  const busy = useRef(false);
  const waiting = useRef<Parameters<typeof live>[1][]>([]);
  const last = useRef(() => {}); // what was read last, once more

  const read = useCallback(async (where: { from?: number; before?: number }, take: (s: Story, page: Transcript) => Story) => {
    if (busy.current) return;
    busy.current = true;
    last.current = () => void read(where, take);
    try {
      const page = await getTranscript(id, { ...where, limit: PAGE });
      setStory((s) => waiting.current.reduce(live, take(s, page)));
      setLoaded(true);
      setError(undefined);
    } catch (cause) {
      setError(cause instanceof Problem ? cause : new Problem("internal", 0, "Error in this page", String(cause)));
    }
    busy.current = false;
  }, [id]);
  const again = useCallback(() => last.current(), []);
  useRetry(unanswered(error), again);

  const jump = useCallback((seq: number | "end") => {
    // Some of what comes before an entry too, so that it does not stand at the very beginning.
    const where = seq === "end" ? { before: Number.MAX_SAFE_INTEGER } : seq < PAGE / 2 ? { from: 0 } : { before: seq + 1 };
    void read(where, (_, page) => begin(page));
  }, [read]);

  const first = useRef(start);
  useEffect(() => jump(first.current), [jump]);

  useRunEvents({
    entry: (e) => {
      waiting.current = [...waiting.current.slice(-200), e.items];
      setStory((s) => (s === EMPTY ? s : live(s, e.items)));
      if (/^(model\.answered|call\.ended)/.test(e.kind)) setPieces((p) => without(p, e.agent));
    },
    piece: (piece) => setPieces((p) => {
      const before = p.get(piece.agent);
      const text = (before?.kind === piece.kind ? before.text : "") + piece.text;
      return new Map(p).set(piece.agent, { ...piece, text: text.slice(-4000) });
    }),
    again: () => setPieces(new Map()),
  });

  // Of a foreign trace nobody tells; while more may arrive, the end is read again.
  const { run } = useRun();
  const asks = run.summary.source === "otlp" && run.summary.status === "running" && story.next === undefined && loaded;
  const end = story.items[story.items.length - 1]?.seq ?? 0;
  useEffect(() => {
    if (!asks) return;
    const timer = setInterval(() => void read({ from: end }, append), 5000);
    return () => clearInterval(timer);
  }, [asks, read, end]);

  const { previous, next } = story;
  const earlier = useCallback(() => { if (previous !== undefined) void read({ before: previous }, prepend); }, [previous, read]);
  const later = useCallback(() => { if (next !== undefined) void read({ from: next }, append); }, [next, read]);
  return { story, loaded, error, pieces, earlier, later, jump };
}

function without(pieces: ReadonlyMap<string, LivePiece>, agent: string): ReadonlyMap<string, LivePiece> {
  if (!pieces.has(agent)) return pieces;
  const next = new Map(pieces);
  next.delete(agent);
  return next;
}
