package gate

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"tachograph/schemas/journal"
)

// output finds the stored output of an earlier call of this run by the name that its result told the
// model. After a fork the parent's calls are looked for in the parent's journal no more: their names
// are seqs of another run.
func (g *Gate) output(ctx context.Context, name string) ([]byte, error) {
	digits, _, _ := strings.Cut(strings.TrimPrefix(name, "c"), ".")
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || id < 0 || !strings.HasPrefix(name, "c") {
		return nil, fmt.Errorf("find call %.60q: %w", name, fs.ErrNotExist)
	}
	for line, err := range g.c.Run.Entries(ctx, id) {
		if err != nil {
			return nil, fmt.Errorf("find call %s: %w", name, err)
		}
		e, err := journal.Decode(line)
		if err != nil {
			return nil, fmt.Errorf("find call %s: %w", name, err)
		}
		if e.Seq == id && e.Kind != journal.KindCallProposed {
			break
		}
		if e.Kind != journal.KindCallEnded {
			continue
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			return nil, fmt.Errorf("find call %s: %w", name, err)
		}
		if ended := body.(*journal.CallEnded); ended.Call == id {
			if ended.Output.IsZero() {
				break
			}
			return g.c.Run.Content(ctx, ended.Output)
		}
	}
	return nil, fmt.Errorf("find output of call %s: %w", name, fs.ErrNotExist)
}
