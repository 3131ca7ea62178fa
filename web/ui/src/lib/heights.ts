// Where the rows of a long list are, when each has its own height and most have not been seen yet.

/**
 * Offsets of rows by a Fenwick tree: changing one height and finding the row at an offset both cost
 * O(log n), so a transcript of 100,000 entries scrolls like one of ten.
 */
export class Heights {
  private tree: Float64Array;
  private own: Float64Array;
  length: number;

  constructor(length: number, estimate: (index: number) => number) {
    this.length = length;
    this.own = new Float64Array(length);
    this.tree = new Float64Array(length + 1);
    for (let i = 0; i < length; i++) {
      const height = estimate(i);
      this.own[i] = height;
      this.tree[i + 1] = (this.tree[i + 1] ?? 0) + height;
      const parent = i + 1 + ((i + 1) & -(i + 1));
      if (parent <= length) this.tree[parent] = (this.tree[parent] ?? 0) + (this.tree[i + 1] ?? 0);
    }
  }

  at(index: number): number {
    return this.own[index] ?? 0;
  }

  /** Sets a row's height and returns by how much it changed. */
  set(index: number, height: number): number {
    if (index < 0 || index >= this.length) return 0;
    const delta = height - (this.own[index] ?? 0);
    if (delta === 0) return 0;
    this.own[index] = height;
    for (let i = index + 1; i <= this.length; i += i & -i) this.tree[i] = (this.tree[i] ?? 0) + delta;
    return delta;
  }

  /** The offset of a row's top; of `length`, that of the end. */
  top(index: number): number {
    let sum = 0;
    for (let i = Math.min(index, this.length); i > 0; i -= i & -i) sum += this.tree[i] ?? 0;
    return sum;
  }

  get total(): number {
    return this.top(this.length);
  }

  /** The row that holds an offset; the first or last one beyond the ends. */
  find(offset: number): number {
    let position = 0;
    let rest = offset;
    let step = 1;
    while (step * 2 <= this.length) step *= 2;
    for (; step > 0; step >>= 1) {
      const next = position + step;
      if (next <= this.length && (this.tree[next] ?? 0) <= rest) {
        position = next;
        rest -= this.tree[next] ?? 0;
      }
    }
    return Math.max(0, Math.min(position, this.length - 1));
  }
}
