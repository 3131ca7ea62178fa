package store

import (
	"context"

	"tachograph/schemas/journal"
)

// BasePieces reads several objects of the tree that the run began with, in one question or few: those that are
// there, by name. See Pieces.
func (s *Store) BasePieces(ctx context.Context, run journal.RunID, names [][32]byte) (map[[32]byte][]byte, error) {
	r, err := s.rootsOf(ctx, run)
	if err != nil {
		return nil, err
	}
	all := map[[32]byte][]byte{}
	for len(names) > 0 {
		some := names[:min(len(names), maxNames)]
		names = names[len(some):]
		found, err := s.pieces(with(ctx, "project", s.project, "root", hexOf(r.base), "names", namesParameter(some)), "base_pieces")
		if err != nil {
			return nil, err
		}
		for name, b := range found {
			all[name] = b
		}
	}
	return all, nil
}
