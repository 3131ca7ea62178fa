// Package embedded starts the ClickHouse that tacho brings along, as a child process, and hands out
// the addresses under which it answers.
//
// The child is `clickhouse server` if that binary is on PATH. Otherwise it is this same binary, started once
// more, which loads libchdb (npm package @chdb/lib-<platform>, see library.go) and runs ClickHouse's
// own local server in it: genuine HTTP handler, merges, TTL, views, users. Read Config and Open first, then
// child.go (one start), supervise.go (all of them), fetch.go (where the library comes from).
//
// The package must never load the library into the process that calls it: an engine that aborts would
// take the recorder with it. It must never run a library whose checksum is not the pinned one, listen on anything
// but 127.0.0.1, or open ClickHouse's native port: a client that resets a native connection
// aborts this server. It knows no tables; the database `tacho` is all it creates.
//
// # Directory
//
//	lock          held (flock) by the process that owns the directory; its text is that process's id
//	child.lock    held by the child as long as it lives, so that two engines never overlap
//	access.json   port and passwords, kept so that what was handed out stays valid; mode 0600
//	starts        decimal: how often an engine was started here, written before each start
//	config.xml    generated at each Open, as users.xml is; mode 0600
//	data/ tmp/    the engine's own
//	log/          the engine's log, see maxLogFiles
//
// # Lifeline
//
//	parent ──pipe──→ helper (fd 3) ──pipe──→ SELECT count() FROM file('/dev/fd/N')
//
// The engine lives as long as that SELECT, the SELECT as long as nobody closes its pipe, and the helper
// closes it when its own pipe ends: by Close, or because the parent is gone, however it died. An engine that does not end
// by itself soon is killed by the helper. `clickhouse server` has no such SELECT: there the
// helper stays beside it and sends SIGTERM, then SIGKILL.
//
// # Port
//
// Each Engine keeps a socket that is bound to its port but never listens; the child binds the
// same port with SO_REUSEPORT. So no other program can take the port, not even while the engine is being restarted, and
// a client's connection is refused at once instead of reaching somebody else.
//
// # Users
//
//	default   no password, because the engine's own first session is one; may start the listener and
//	          read the lifeline. A quota of just these two queries keeps everybody else from it
//	tacho     the writer: everything in every database, no files, no URLs
//	reader    SELECT in databases whose names begin with tacho; readonly=2
//	grafana   as reader, with tighter limits
package embedded
