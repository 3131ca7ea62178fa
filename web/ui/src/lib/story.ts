// The transcript as a list that grows at both ends and whose calls change while they are under way.
import type { Item, Transcript } from "../api/words";

export interface Story {
  items: readonly Item[];
  /** `before` of the page before, `from` of the next; undefined where there is nothing more. */
  previous: number | undefined;
  next: number | undefined;
}

export const EMPTY: Story = { items: [], previous: undefined, next: undefined };

/** A page as the whole that is known. */
export function begin(page: Transcript): Story {
  return { items: merge([], page.items), previous: page.previous, next: page.next };
}

export function append(story: Story, page: Transcript): Story {
  return { items: merge(story.items, page.items), previous: story.previous, next: page.next };
}

export function prepend(story: Story, page: Transcript): Story {
  return { items: merge(story.items, page.items), previous: page.previous, next: story.next };
}

/**
 * Items that an entry made or changed. What lies beyond the end that is loaded is left out, because
 * between it and the end there is a gap; it comes when that page is read.
 */
export function live(story: Story, items: readonly Item[]): Story {
  const first = story.items[0]?.seq ?? 0;
  const last = story.items[story.items.length - 1]?.seq ?? -1;
  const fitting = items.filter((i) => (story.next === undefined || i.seq <= last) && (story.previous === undefined || i.seq >= first));
  return fitting.length === 0 ? story : { ...story, items: merge(story.items, fitting) };
}

/** By seq; of two that have the same, the one that tells more. */
function merge(a: readonly Item[], b: readonly Item[]): Item[] {
  const last = a[a.length - 1];
  if (last === undefined || (b[0] !== undefined && b[0].seq > last.seq && rising(b))) return [...a, ...b];
  const bySeq = new Map<number, Item>();
  for (const item of [...a, ...b]) {
    const known = bySeq.get(item.seq);
    if (!known || item.last >= known.last) bySeq.set(item.seq, item);
  }
  return [...bySeq.values()].sort((x, y) => x.seq - y.seq);
}

function rising(items: readonly Item[]): boolean {
  return items.every((item, i) => i === 0 || item.seq > (items[i - 1]?.seq ?? -1));
}

/** The item that tells of an entry: the newest that begins at or before it. */
export function indexOfSeq(items: readonly Item[], seq: number): number {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((items[middle]?.seq ?? 0) <= seq) low = middle + 1;
    else high = middle;
  }
  // A call is one item though others begin before it ends.
  const exact = items.findIndex((i) => i.seq === seq);
  return exact >= 0 ? exact : Math.max(0, low - 1);
}

/**
 * The entry after which a fork begins that does this item over: what comes just before it. A call is
 * part of its turn, so it is the turn that is done over.
 */
export function beforeTurn(items: readonly Item[], index: number): number {
  for (let i = index; i >= 0; i--) {
    const item = items[i];
    if (item?.type === "turn" && item.agent === items[index]?.agent) return Math.max(0, item.seq - 1);
  }
  return items[index]?.seq ?? 0;
}

/**
 * The entry after which the model has not been told yet what came of a call: the end of the last call of
 * its turn. The calls beside it have ended there too, so a fork makes none of them a second time.
 */
export function afterCalls(items: readonly Item[], index: number): number {
  const call = items[index];
  let last = call?.last ?? 0;
  for (const item of items.slice(index + 1)) {
    if (item.agent !== call?.agent) continue;
    if (item.type === "turn") break;
    if (item.type === "call") last = Math.max(last, item.last);
  }
  return last;
}
