package replay

import (
	"context"
	"errors"

	"tachograph/schemas/journal"
)

// Objects shows the files of one run's family to runner/workspace. It is read-only.
func Objects(src Source, run journal.RunID) ObjectReader { return ObjectReader{src, run} }

// ObjectReader reads the objects of one run's family.
type ObjectReader struct {
	src Source
	run journal.RunID
}

// Get reads an object.
func (o ObjectReader) Get(ctx context.Context, name journal.Object) ([]byte, error) {
	return o.src.Object(ctx, o.run, name)
}

// Has says whether the object is there.
func (o ObjectReader) Has(ctx context.Context, name journal.Object) (bool, error) {
	_, err := o.src.Object(ctx, o.run, name)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Put is refused: whoever replays changes nothing.
func (o ObjectReader) Put(context.Context, journal.Object, []byte) error {
	return errors.New("store object: this is a replay, nothing is written")
}

// Both reads from a, and from b what a does not have: the files of two families.
func Both(a, b ObjectReader) TwoReaders { return TwoReaders{a, b} }

// TwoReaders reads the objects of two runs.
type TwoReaders struct{ a, b ObjectReader }

// Get reads an object of either run.
func (t TwoReaders) Get(ctx context.Context, name journal.Object) ([]byte, error) {
	b, err := t.a.Get(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return t.b.Get(ctx, name)
	}
	return b, err
}

// Has says whether either run has the object.
func (t TwoReaders) Has(ctx context.Context, name journal.Object) (bool, error) {
	if ok, err := t.a.Has(ctx, name); ok || err != nil {
		return ok, err
	}
	return t.b.Has(ctx, name)
}

// Put is refused.
func (t TwoReaders) Put(ctx context.Context, name journal.Object, b []byte) error {
	return t.a.Put(ctx, name, b)
}
