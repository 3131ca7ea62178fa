// Package reach says what a tool call would touch: files, hosts and programs under one spelling
// each, and the facts that a policy asks about (does it rewrite history, does it leave the tree).
//
// It reads; it never runs, opens, resolves or contacts anything but symbolic links of the tree.
// What it finds may only tighten: a caller adds it to what the tool itself claims and never takes
// anything away because it was not found here. It is a reader of intentions, not a wall: the
// sandbox is the wall, and what a program does once it runs is not in its command line. So the
// reader prefers to say "I do not know" ([Facts.Opaque], [Facts.Unresolved]) to guessing.
//
// Read first: [Claim] and [Reach] (reach.go), then path.go, host.go, and shell.go with the
// programs it knows (program.go and the files named for what the programs are about).
//
// # Bounds
//
// A command is read up to 64 KiB, 64 levels and 4,096 simple commands deep; beyond, it is opaque.
// At most 512 paths of a kind and 64 hosts are listed, beyond that the reach is unresolved, and at
// most 128 programs, beyond that it is opaque.
package reach
