// Package owner lets other commands of the same user speak to the process that owns a data
// directory: they read its journals and steer its runs. One process owns a directory, because a
// run has one writer; the others would find the store locked.
//
// It is HTTP over a unix socket in the data directory (mode 0600 in a directory of mode 0700): who
// may open the socket may read the files beside it too, so there is no token. server.json names the
// owner:
//
//	{"pid":4711,"started":"2026-11-23T18:24:00Z","version":"…","socket":"owner.sock"}
//
// Reading, all of it as stored and checked by the reader ([Client] is a replay.Source):
//
//	GET /owner/alive                                 204: somebody is there
//	GET /owner/runs                                  the list
//	GET /owner/runs/{run}                            one of it
//	GET /owner/runs/{run}/entries?from=N[&follow=1]  one stored line a line
//	GET /owner/runs/{run}/heads | /salt | /content/{ref} | /objects/{name}
//	GET /owner/runs/{run}/checkpoint?seq=N | /chunks/{name}
//	GET /owner/live[?run=ID]                         runner.Live as JSON lines, while it lasts
//
// Steering:
//
//	POST /owner/runs {spec}                          → {"run_id"}
//	POST /owner/runs/{run}/fork {seq, change}        → {"run_id"}
//	POST /owner/runs/{run}/{pause|resume|stop}       {"by", "now"}
//	POST /owner/runs/{run}/approvals/{call}          {"by", "decision": "approve"|"deny", "reason"}
//	DELETE /owner/families/{run}
//
// An error is an RFC 9457 problem; its "kind" restores the error that the caller can match.
package owner
