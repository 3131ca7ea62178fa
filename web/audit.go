package web

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"tachograph/replay"
	"tachograph/schemas/journal"
	"tachograph/web/api"
	"tachograph/web/story"
)

// auditKinds are the kinds of entries that say who decided what, and what was promised.
var auditKinds = map[journal.Kind]api.AuditKind{
	journal.KindRunStarted: api.AuditKindStart, journal.KindCallDecided: api.AuditKindDecision, journal.KindCallHeld: api.AuditKindHold,
	journal.KindCallApproved: api.AuditKindApproval, journal.KindCallRefused: api.AuditKindRefusal, journal.KindCallExpired: api.AuditKindExpiry,
	journal.KindPolicyChanged: api.AuditKindPolicy, journal.KindLimitChanged: api.AuditKindLimit, journal.KindAlarmRaised: api.AuditKindAlarm,
	journal.KindRecovered: api.AuditKindRecovery, journal.KindPaused: api.AuditKindPause, journal.KindResumed: api.AuditKindResume,
	journal.KindStopped: api.AuditKindStop, journal.KindRolledBack: api.AuditKindRollback, journal.KindSnapshot: api.AuditKindSnapshot,
	journal.KindCheckpoint: api.AuditKindCheckpoint, journal.KindRunEnded: api.AuditKindEnd,
}

// maxHeads is how many signed heads are shown.
const maxHeads = 100

// GetAudit answers with who decided what.
func (s *Server) GetAudit(ctx context.Context, request api.GetAuditRequestObject) (api.GetAuditResponseObject, error) {
	p := request.Params
	limit, err := within("limit", p.Limit, 100, 1, 500)
	if err != nil {
		return nil, err
	}
	from, err := within("from", p.From, 0, 0, int64(journal.MaxInt))
	if err != nil {
		return nil, err
	}
	for _, k := range p.Kind {
		if !k.Valid() {
			return nil, fail(kindMalformed, "kind %.40q is none that an audit has", k)
		}
	}
	run, err := s.own(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	answer := api.Audit{Rows: []api.AuditRow{}, Heads: []api.Head{}, Entries: run.Entries}
	if answer.Next, err = s.auditRows(ctx, run, from, p.Kind, limit, &answer.Rows); err != nil {
		return nil, err
	}
	signed, err := s.Journal.Heads(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	answer.HeadsTotal = int64(len(signed))
	if from == 0 {
		for _, text := range slices.Backward(signed[max(len(signed)-maxHeads, 0):]) {
			answer.Heads = append(answer.Heads, s.head(text))
		}
	}
	return api.GetAudit200JSONResponse(answer), nil
}

// auditRows fills rows, and returns the seq of the row after them.
func (s *Server) auditRows(ctx context.Context, run replay.Run, from int64, kinds []api.AuditKind, limit int, rows *[]api.AuditRow) (*int64, error) {
	calls := map[int64]*journal.CallProposed{}
	for line, err := range s.Journal.Entries(ctx, run.ID, from) {
		if err != nil {
			return nil, err
		}
		e, err := journal.Decode(line)
		if err != nil {
			return nil, err
		}
		kind, told := auditKinds[e.Kind]
		wanted := told && (len(kinds) == 0 || slices.Contains(kinds, kind))
		if !wanted && e.Kind != journal.KindCallProposed {
			continue
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			return nil, err
		}
		if proposed, ok := body.(*journal.CallProposed); ok {
			calls[e.Seq] = proposed
			continue
		}
		if len(*rows) == limit {
			return &e.Seq, nil
		}
		row := api.AuditRow{Seq: e.Seq, Time: e.Time, Agent: e.Agent, Kind: kind, Hash: journal.HashEntry(line).String()}
		if err := s.auditCall(ctx, run.ID, calls, body, &row); err != nil {
			return nil, err
		}
		s.auditRun(ctx, run.ID, body, &row)
		*rows = append(*rows, row)
	}
	return nil, nil
}

// auditCall fills what a row about a call says.
func (s *Server) auditCall(ctx context.Context, run journal.RunID, calls map[int64]*journal.CallProposed, body journal.Body, row *api.AuditRow) error {
	read := func(ref journal.Ref) *api.Text { return story.Read(ctx, s.Journal, run, ref, "") }
	switch b := body.(type) {
	case *journal.CallDecided:
		row.Call, row.Decision, row.Engine, row.Policy = &b.Call, ptr(api.AuditRowDecision(b.Decision)), &b.Engine, ptr(b.Policy.String())
		row.Policies, row.Reasons = story.Reasons(ctx, s.Journal, run, b.Reasons)
		row.Errors = some(b.Errors)
	case *journal.CallHeld:
		row.Call, row.Why = &b.Call, &b.Why
	case *journal.CallApproved:
		row.Call, row.By, row.Reason, row.Policy, row.Root = &b.Call, read(b.By), read(b.Reason), ptr(b.Policy.String()), ptr(b.Root.String())
	case *journal.CallRefused:
		row.Call, row.By, row.Reason = &b.Call, read(b.By), read(b.Reason)
	case *journal.CallExpired:
		row.Call = &b.Call
	default:
		return nil
	}
	proposed, err := s.proposal(ctx, run, calls, *row.Call)
	if err != nil || proposed == nil {
		return err
	}
	row.Tool, row.Effect, row.Scope = &proposed.Tool, &proposed.Effect, &proposed.Scope
	if args, err := s.Journal.Content(ctx, run, proposed.Args); err == nil {
		row.Summary = some(story.Summary(args))
	}
	return nil
}

// proposal is the entry that made a call, which may lie before the first row.
func (s *Server) proposal(ctx context.Context, run journal.RunID, calls map[int64]*journal.CallProposed, id int64) (*journal.CallProposed, error) {
	if p := calls[id]; p != nil {
		return p, nil
	}
	e, err := s.entry(ctx, run, id)
	if err != nil {
		return nil, err
	}
	body, err := journal.DecodeBody(e.Kind, e.Body)
	p, ok := body.(*journal.CallProposed)
	if err != nil || !ok {
		return nil, err
	}
	calls[id] = p
	return p, nil
}

// auditRun fills what a row about the run itself says.
func (s *Server) auditRun(ctx context.Context, run journal.RunID, body journal.Body, row *api.AuditRow) {
	read := func(ref journal.Ref) *api.Text { return story.Read(ctx, s.Journal, run, ref, "") }
	switch b := body.(type) {
	case *journal.RunStarted:
		row.Policy, row.Root = ptr(b.Policy.String()), ptr(b.Root.String())
		if b.Parent != nil {
			row.State, row.To, row.Why = ptr(b.Parent.State.String()), &b.Parent.Seq, ptr("fork of "+b.Parent.Run.String())
		}
	case *journal.RunEnded:
		row.Why, row.Reason, row.Root, row.State = &b.Outcome, read(b.Reason), ptr(b.Root.String()), ptr(b.State.String())
	case *journal.PolicyChanged:
		row.Policy, row.By = ptr(b.Policy.String()), read(b.By)
	case *journal.LimitChanged:
		row.By = read(b.By)
	case *journal.AlarmRaised:
		row.Why, row.Reason = &b.Alarm, read(b.Reason)
	case *journal.Recovered:
		row.Why = ptr(fmt.Sprintf("%d calls in doubt, %d run again, %d questions asked again", len(b.Doubt), len(b.Rerun), len(b.Lost)))
	case *journal.Paused:
		row.Why, row.By = &b.Why, read(b.By)
	case *journal.Resumed:
		row.By = read(b.By)
	case *journal.Stopped:
		row.By = read(b.By)
	case *journal.RolledBack:
		row.To, row.Reason, row.Root = &b.To, read(b.Reason), ptr(b.Root.String())
	case *journal.Snapshot:
		row.Why, row.Root, row.State = &b.Why, ptr(b.Root.String()), ptr(b.State.String())
	case *journal.Checkpoint:
		row.Root, row.State = ptr(b.Root.String()), ptr(b.State.String())
	}
}

// nobody is the set of no keys.
type nobody struct{}

func (nobody) Verifier(name string, hash uint32) (note.Verifier, error) {
	return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
}

// head shows a signed head. One that cannot be read has no signers: verifying says what is wrong.
func (s *Server) head(signed []byte) api.Head {
	keys := s.Keys
	if keys == nil {
		keys = nobody{}
	}
	told := api.Head{Note: text(string(signed)), Signers: []api.Signer{}}
	h, n, err := journal.OpenHead(signed, keys)
	if err != nil {
		told.Root = journal.Hash{}.String()
		return told
	}
	told.Size, told.Root, told.Origin, told.State = h.Size, h.Root.String(), ptr(h.Origin()), ptr(h.State.String())
	for _, sig := range n.Sigs {
		told.Signers = append(told.Signers, api.Signer{Name: text(sig.Name), Key: hex32(sig.Hash), Trusted: true})
	}
	for _, sig := range n.UnverifiedSigs {
		told.Signers = append(told.Signers, api.Signer{Name: text(sig.Name), Key: hex32(sig.Hash)})
	}
	return told
}

func hex32(n uint32) string {
	return hex.EncodeToString([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func isMissing(err error) bool { return errors.Is(err, replay.ErrNotFound) }
