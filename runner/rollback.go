package runner

import (
	"fmt"

	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// rollBack takes the conversation and the workspace back to a snapshot and tells the agent what was
// undone. The entry comes first: should the process die before the tree is restored, whoever takes
// the run over restores it.
func (x *execution) rollBack(to *journal.Mark, reason string) error {
	var undone int64
	x.run.View(func(s *journal.State) { undone = s.Undone })
	told := fmt.Sprintf("[tachograph] Your work since step snapshot %d was undone, because %s. The workspace and this "+
		"conversation are as they were then (rollback %d of at most %d). Take another way.",
		to.Seq, reason, undone+1, x.spec.maxRollbacks())
	_, err := x.run.Append(x.ctx, x.root(&journal.RolledBack{To: to.Seq, Root: to.Root,
		Message: x.run.Stage(chat.User(told)), Reason: x.run.Stage([]byte(reason))}))
	if err != nil {
		return fmt.Errorf("record the rollback: %w", err)
	}
	if _, err := x.tree.Restore(x.ctx, to.Root, nil); err != nil {
		return fmt.Errorf("restore the workspace to snapshot %d: %w", to.Seq, err)
	}
	return nil
}
