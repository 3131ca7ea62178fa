// Flat paths as a tree that opens and closes.

export interface TreeFile {
  path: string;
}

export interface TreeRow<F extends TreeFile> {
  path: string;
  name: string;
  depth: number;
  /** null: a directory. */
  file: F | null;
  open: boolean;
  /** Files below a directory. */
  count: number;
}

interface Node<F extends TreeFile> {
  children: Map<string, Node<F>>;
  file: F | null;
  count: number;
}

/**
 * The rows to show, directories before files, each in byte order. A directory is closed only if
 * `closed` holds its path. A directory that has one directory and nothing else is joined with it.
 */
export function treeRows<F extends TreeFile>(files: readonly F[], closed: ReadonlySet<string>): TreeRow<F>[] {
  const root: Node<F> = { children: new Map(), file: null, count: 0 };
  for (const file of files) insert(root, file);
  const rows: TreeRow<F>[] = [];
  walk(root, "", 0, closed, rows);
  return rows;
}

function insert<F extends TreeFile>(root: Node<F>, file: F): void {
  let node = root;
  node.count++;
  for (const name of file.path.split("/")) {
    let next = node.children.get(name);
    if (!next) {
      next = { children: new Map(), file: null, count: 0 };
      node.children.set(name, next);
    }
    node = next;
    node.count++;
  }
  node.file = file;
}

function walk<F extends TreeFile>(node: Node<F>, prefix: string, depth: number, closed: ReadonlySet<string>, rows: TreeRow<F>[]): void {
  const isDir = (n: Node<F>) => n.children.size > 0;
  const sorted = [...node.children].sort(([a, na], [b, nb]) => Number(isDir(nb)) - Number(isDir(na)) || (a < b ? -1 : a > b ? 1 : 0));
  for (const [name, child] of sorted) {
    if (!isDir(child)) {
      rows.push({ path: prefix + name, name, depth, file: child.file, open: false, count: 1 });
      continue;
    }
    let [label, at] = [name, child];
    while (at.children.size === 1 && !at.file) {
      const [only] = at.children;
      if (!only || !isDir(only[1])) break;
      label += "/" + only[0];
      at = only[1];
    }
    const path = prefix + label;
    const open = !closed.has(path);
    rows.push({ path, name: label, depth, file: null, open, count: at.count });
    if (open) walk(at, path + "/", depth + 1, closed, rows);
  }
}
