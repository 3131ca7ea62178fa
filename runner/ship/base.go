package ship

import (
	"errors"
	"sync"
	"time"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/record"
)

// bases makes runs that began with the same tree wait for the one that sends it.
type bases struct {
	mu   sync.Mutex
	busy map[journal.Object]chan struct{}
}

// enter waits until nobody else sends the tree. It is called with a slot held, and so is what it
// waits for: no circle.
func (b *bases) enter(f *follower, root journal.Object) error {
	for {
		b.mu.Lock()
		busy := b.busy[root]
		if busy == nil {
			if b.busy == nil {
				b.busy = map[journal.Object]chan struct{}{}
			}
			b.busy[root] = make(chan struct{})
			b.mu.Unlock()
			return nil
		}
		b.mu.Unlock()
		select {
		case <-busy:
		case <-f.working.Done():
			return errClosing
		}
	}
}

func (b *bases) leave(root journal.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.busy[root])
	delete(b.busy, root)
}

// sendBase sends the tree as it was before any run of the family, unless it is there already. Then only
// what the run that sent it had not stored is added (a secret that this family captured), for this
// family alone.
func (f *follower) sendBase(root journal.Object, at time.Time) error {
	f.namer.base = root
	if err := f.bases.enter(f, root); err != nil {
		return err
	}
	defer f.bases.leave(root)
	withheld, marked := f.ledger.readBase(root)
	there := marked
	if f.cfg.Store != nil {
		lacks, err := f.cfg.Store.Lacks(f.working, record.SpaceObject, hexName(root), []name{name(root)})
		if err != nil {
			f.log.Warn("the store does not say whether it has the base tree", "error", err)
		} else {
			there = len(lacks) == 0
		}
	}
	switch {
	case there && marked:
		return f.sendObjects(withheld, at)
	case there:
		return f.addToBase(root, at)
	}
	return f.sendWholeBase(root, at)
}

func (f *follower) sendWholeBase(root journal.Object, at time.Time) error {
	objects, err := f.namer.tree(f.working, root)
	if err != nil {
		return err
	}
	var withheld []journal.Object
	for _, o := range objects {
		p := f.namer.object(o.Name, hexName(root), 0, at)
		b, err := p.read(f.working)
		if errors.Is(err, state.ErrNotFound) {
			withheld = append(withheld, o.Name)
			continue
		}
		if err != nil {
			return err
		}
		for _, i := range p.cut(f.journal.ID(), b) {
			if err := f.queue.add(i); err != nil {
				return err
			}
		}
	}
	if err := f.queue.flush(); err != nil {
		return err
	}
	if err := f.ledger.writeBase(root, withheld); err != nil {
		f.log.Warn("the base tree will be sent again", "error", err)
	}
	return nil
}

// addToBase serves a tree that another machine sent: what it withheld is not known.
func (f *follower) addToBase(root journal.Object, at time.Time) error {
	objects, err := f.namer.tree(f.working, root)
	if err != nil {
		return err
	}
	var missing []journal.Object
	for len(objects) > 0 {
		names := make([]name, min(lackWindow, len(objects)))
		for i := range names {
			names[i] = name(objects[i].Name)
		}
		lacks, err := f.cfg.Store.Lacks(f.working, record.SpaceObject, hexName(root), names)
		if err != nil {
			f.log.Warn("the store does not say what it lacks of the base tree", "error", err)
			return nil
		}
		for _, o := range lacks {
			missing = append(missing, journal.Object(o))
		}
		objects = objects[len(names):]
	}
	return f.sendObjects(missing, at)
}

// sendObjects sends those of the objects that are stored here as the family's own.
func (f *follower) sendObjects(objects []journal.Object, at time.Time) error {
	for _, o := range objects {
		if err := f.namer.once(f.working, f.namer.object(o, f.namer.scope, 0, at)); err != nil {
			return err
		}
	}
	return nil
}
