package gate

import "tachograph/schemas/journal"

// Classify sorts the calls that were started and have no end, for the entry `recovered` of a process
// that takes a run over. The effect of those to be run again is undone with the tree (it goes back
// to the state's root), or cannot be doubled; those in doubt may have happened, and are held.
func Classify(s *journal.State) (doubt, rerun []int64) {
	for _, a := range s.Agents() {
		for _, c := range a.Calls {
			switch {
			case c.Phase != journal.CallIsStarted:
			case c.Scope == "workspace" || c.Idempotent:
				rerun = append(rerun, c.ID)
			default:
				doubt = append(doubt, c.ID)
			}
		}
	}
	return doubt, rerun
}
