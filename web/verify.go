package web

import (
	"context"
	"sync"

	"tachograph/replay"
	"tachograph/schemas/journal"
	"tachograph/web/api"
)

// verifications remembers what the newest verification of each run came to, while the process
// lives, and lets one run at a time.
type verifications struct {
	turn chan struct{}
	mu   sync.Mutex
	of   map[journal.RunID]api.Verification
}

// maxVerifications bounds what is remembered.
const maxVerifications = 1000

func newVerifications() *verifications {
	return &verifications{turn: make(chan struct{}, 1), of: map[journal.RunID]api.Verification{}}
}

func (v *verifications) last(run journal.RunID) *api.Verification {
	v.mu.Lock()
	defer v.mu.Unlock()
	if found, ok := v.of[run]; ok {
		return &found
	}
	return nil
}

func (v *verifications) keep(run journal.RunID, report api.Verification) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.of) >= maxVerifications {
		clear(v.of)
	}
	v.of[run] = report
}

// VerifyRun verifies a run now.
func (s *Server) VerifyRun(ctx context.Context, request api.VerifyRunRequestObject) (api.VerifyRunResponseObject, error) {
	run, err := s.own(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	select { // it reads everything: two at once would only be slower
	case s.checks.turn <- struct{}{}:
		defer func() { <-s.checks.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	began := s.Clock()
	report, err := replay.Verify(ctx, s.Journal, run.ID, replay.Options{Keys: s.Keys,
		Summary: func() (int64, journal.Hash, bool) { return run.Entries, run.Tip, true }})
	if err != nil {
		return nil, err
	}
	now := s.Clock()
	told := verification(report)
	told.At, told.TookMs = now.UTC(), now.Sub(began).Milliseconds()
	s.checks.keep(run.ID, told)
	return api.VerifyRun200JSONResponse(told), nil
}

var verdicts = map[replay.Verdict]api.VerificationVerdict{
	replay.Verified: api.VerificationVerdictVerified, replay.Unsigned: api.VerificationVerdictUnsigned, replay.Broken: api.VerificationVerdictFailed,
}

func verification(r *replay.Report) api.Verification {
	told := api.Verification{Verdict: verdicts[r.Verdict], Entries: r.Entries, Commitments: r.Commitments, Heads: r.Heads, Covered: r.Covered,
		Checkpoints: r.Checkpoints, Contents: r.Contents, Objects: r.Objects, Bytes: r.Bytes, Withheld: r.Withheld, Erased: r.Erased,
		Signers: r.Signers, Unknown: r.Unknown, Findings: []api.Finding{}, State: ptr(r.State.String()), Root: ptr(r.Root.String())}
	for _, f := range r.Findings {
		told.Findings = append(told.Findings, api.Finding{Seq: f.Seq, What: text(f.What)})
	}
	return told
}
