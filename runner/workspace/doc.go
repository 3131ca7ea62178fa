// Package workspace keeps the files an agent works on: a managed tree, which is a copy of the
// user's directory, named after every call by one Merkle root (schemas/journal/directory.go), so
// that the files can be rebuilt, compared, brought back and handed over at any step of a run.
//
//	user's directory ── Import ──→ managed tree ── TakePaths, TakeUpper, Scan ──→ Delta, root
//	                                    ↑                                            │
//	                                 Restore ←──────────── objects ←─────────────────┘
//	user's directory ←── Apply ──────────────────────────────┤
//	new directory    ←── Materialise ────────────────────────┘
//
// # The tree and its objects
//
// The tree on disk is a cache of a root and of the objects that the root names: [Objects] makes
// them durable, and nothing in the tree is ever fsynced. After a crash at any moment [Open] mends
// it, by comparing each file's stamp (mtime, ctime, size, inode) with an index kept beside the tree
// and reading again what differs. A file whose stamp is so young that another write could have left
// it unchanged is always read again, as git does.
//
// The top of the tree has permission bits 0700 and they are not part of the root: inside may be
// setuid files, which nobody but the owner of the tree may reach.
//
// # What is left out
//
// What the top .tachoignore names (gitignore syntax, [Options.Ignore]), sockets, FIFOs, devices, and
// in a directory of the user's what cannot be read. It is counted ([Delta.LeftOut], [Left]). In
// the tree it stays where it is, but no root covers it and no restore brings it back. A directory
// that is left out counts as one. Not covered at all are times, owners, extended attributes and
// hard links: linked files become separate ones.
//
// Files that match secret patterns ([Options.Secrets]) count in the root by hash and are not
// stored; whoever rebuilds the tree elsewhere is told their paths.
//
// # Safety
//
// What a tool wrote is hostile. The package must never follow a symbolic link: every step goes
// through the descriptor of an open directory and names one component (folder in disk.go), so
// whatever a tool swaps meanwhile, nothing outside is read or written. It must never set setuid or
// setgid outside the managed tree, never change the user's directory except in [Apply], and never
// change what an object's name covers.
//
// A [Tree] has one owner at a time: between two of its methods tools may write to the tree, during
// one they must not (stop them, or unmount their overlay).
//
// Read first: tree.go, then index.go (what is known of the tree), observe.go (disk → index),
// mend.go (objects → disk), diff.go. Apply is by itself: apply.go.
package workspace
