// The spans of a run as far as they were told: each as it was told last, in the order in which they were first seen.
import type { SpanList } from "../api/words";
import { instant } from "./format";
import { spanOf } from "./spans";
import type { Span } from "./timeline";

export class Gathered {
  /** How many entries of the journal they are of; undefined: not all have come yet, or there is no journal. */
  entries: number | undefined;
  /** Milliseconds since 1970 at which the run began. */
  origin = 0;
  journal = true;
  private readonly all: Span[] = [];
  private readonly places = new Map<string, number>();

  get size(): number {
    return this.all.length;
  }

  /** Whether one of them is open. */
  get moving(): boolean {
    return this.all.some((s) => s.end === null);
  }

  take(part: SpanList): void {
    for (const wire of part.spans) this.put(spanOf(wire));
    this.origin = instant(part.origin) ?? 0;
    this.journal = part.journal;
    this.entries = part.more ? this.entries : part.entries;
  }

  /** A list of its own, as what is shown must not change under whoever shows it. */
  list(): Span[] {
    return this.all.slice();
  }

  /** One that has ended takes the place of what it was while it was open. */
  private put(span: Span): void {
    const known = this.places.get(span.id);
    if (known !== undefined) this.all[known] = span;
    else {
      this.places.set(span.id, this.all.length);
      this.all.push(span);
    }
  }
}
