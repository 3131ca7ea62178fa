package replay

import (
	"context"
	"errors"
	"fmt"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// FetchProgress says how far a run, or an ancestor of it, is fetched.
type FetchProgress struct {
	Run     journal.RunID
	Entries int64 // that are here
	Bytes   int64 // of content and objects that were read
}

// Fetch brings a run from src into a store that does not have it, with all of its family that it rests
// on: its ancestors, content, trees and signed heads, byte for byte. Everything is checked on the way in
// (state.Import): what does not verify is refused, and what came before it stays, whole. A run that is here
// already is gone on with; one that this store recorded itself is left alone. see may be nil.
//
// What is fetched can be rebuilt, verified and forked here without src; it is written by nobody.
func Fetch(ctx context.Context, src Source, store *state.Store, run journal.RunID, see func(FetchProgress)) error {
	if err := fetch(ctx, src, store, run, see, map[journal.RunID]bool{}); err != nil {
		return fmt.Errorf("fetch run %s: %w", run, err)
	}
	return nil
}

func fetch(ctx context.Context, src Source, store *state.Store, run journal.RunID, see func(FetchProgress), above map[journal.RunID]bool) error {
	info, err := store.Info(run)
	if err == nil && !info.Imported {
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if above[run] {
		return fmt.Errorf("run %s is an ancestor of itself", run)
	}
	above[run] = true
	started, err := startOf(ctx, src, run)
	if err != nil {
		return err
	}
	o := state.ImportOptions{Family: started.Family}
	if p := started.Parent; p != nil {
		if err := fetch(ctx, src, store, p.Run, see, above); err != nil {
			return fmt.Errorf("its parent: %w", err)
		}
		o.Parent = &state.ForkPoint{Run: p.Run, Seq: p.Seq}
	}
	if o.Salt, err = src.Salt(ctx, run); err != nil {
		return err
	}
	if o.Heads, err = src.Heads(ctx, run); err != nil {
		return err
	}
	f := fetcher{src: src, run: run, see: see}
	if f.into, err = store.Import(ctx, run, o); err != nil {
		return err
	}
	if err := f.base(ctx, started.Base); err != nil {
		return fmt.Errorf("the tree it began with: %w", err)
	}
	return f.entries(ctx)
}

// fetcher fetches one run.
type fetcher struct {
	src  Source
	run  journal.RunID
	into *state.Import
	see  func(FetchProgress)

	bases journal.Object // tree before any run
	root  journal.Object // newest tree that is here
	lines [][]byte       // of the next append
	size  int            // bytes of them and of what they name
	bytes int64
}

// base fetches the tree before any run of the family, unless it is here.
func (f *fetcher) base(ctx context.Context, root journal.Object) error {
	f.bases, f.root = root, root
	if f.into.Sealed() {
		if f.into.Len() > 0 {
			f.root = f.into.State().Root
		}
		return nil
	}
	if err := f.tree(ctx, root); err != nil {
		return err
	}
	return f.into.Objects().SealBase(ctx, root)
}

// Bounds of one append.
const (
	fetchLines = 256
	fetchBytes = 4 << 20
)

func (f *fetcher) entries(ctx context.Context) error {
	var page [][]byte
	for line, err := range f.src.Entries(ctx, f.run, f.into.Len()) {
		if err != nil {
			return err
		}
		if page = append(page, line); len(page) == aheadCount {
			if err := f.page(ctx, page); err != nil {
				return err
			}
			page = nil
		}
	}
	if err := f.page(ctx, page); err != nil {
		return err
	}
	return f.write(ctx)
}

// page fetches what some lines name, all content at once where src can do that.
func (f *fetcher) page(ctx context.Context, lines [][]byte) error {
	bodies := make([]journal.Body, len(lines))
	var refs []journal.Ref
	for i, line := range lines {
		e, err := journal.Decode(line)
		if err == nil {
			bodies[i], err = journal.DecodeBody(e.Kind, e.Body)
		}
		if err != nil {
			return err
		}
		refs = append(refs, journal.Refs(bodies[i])...)
	}
	lacks, err := f.into.Lacks(refs)
	if err != nil {
		return err
	}
	aheadOf(ctx, f.src, f.run, lacks)
	for i, line := range lines {
		if err := f.named(ctx, bodies[i]); err != nil {
			return fmt.Errorf("entry %d: %w", f.into.Len()+int64(len(f.lines)), err)
		}
		f.lines, f.size = append(f.lines, line), f.size+len(line)
		if len(f.lines) == fetchLines || f.size >= fetchBytes {
			if err := f.write(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fetcher) write(ctx context.Context) error {
	if err := f.into.Append(ctx, f.lines...); err != nil {
		return err
	}
	f.lines, f.size = nil, 0
	f.tell()
	return nil
}

func (f *fetcher) tell() {
	if f.see != nil {
		f.see(FetchProgress{f.run, f.into.Len(), f.bytes})
	}
}

// named fetches what an entry names.
func (f *fetcher) named(ctx context.Context, body journal.Body) error {
	lacks, err := f.into.Lacks(journal.Refs(body))
	if err != nil {
		return err
	}
	for _, ref := range lacks {
		b, err := f.src.Content(ctx, f.run, ref)
		if err != nil {
			return err
		}
		if f.into.Stage(b) != ref {
			return fmt.Errorf("content %s was replaced: its bytes have another name", ref)
		}
		f.size, f.bytes = f.size+len(b), f.bytes+int64(len(b))
	}
	for _, root := range journal.Objects(body) {
		if err := f.tree(ctx, root, f.root, f.bases); err != nil {
			return err
		}
		f.root = root
	}
	return nil
}

// tree fetches the objects of a tree that are not here, root last. An object that src does not have was
// withheld where the run was recorded (it matched a secret pattern), and is left out here too.
//
// That a directory is here does not say that all below it is: a crash may have come between. So it
// is compared with trees that are whole, those of entries that are durable.
func (f *fetcher) tree(ctx context.Context, root journal.Object, whole ...journal.Object) error {
	found, err := journal.NewObjects(root, whole, nil, f.reader(ctx))
	if err != nil {
		return err
	}
	objects := f.into.Objects()
	for _, o := range found {
		has, err := objects.Has(ctx, o.Name)
		if has {
			continue
		}
		var b []byte
		if err == nil {
			b, err = f.object(ctx, o.Name)
		}
		if err == nil && b != nil {
			err = objects.Put(ctx, o.Name, b)
		}
		if err != nil {
			return err
		}
		f.size, f.bytes = f.size+len(b), f.bytes+int64(len(b))
	}
	return nil
}

// object is nil if it is not there.
func (f *fetcher) object(ctx context.Context, name journal.Object) ([]byte, error) {
	b, err := f.src.Object(ctx, f.run, name)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case journal.NameObject(b) != name:
		return nil, fmt.Errorf("object %s was replaced: its bytes have another hash", name)
	}
	return b, nil
}

func (f *fetcher) reader(ctx context.Context) journal.TreeReader {
	return func(names []journal.Object) ([][]byte, error) {
		texts := make([][]byte, len(names))
		for i, name := range names {
			b, err := f.into.Objects().Get(ctx, name)
			if errors.Is(err, ErrNotFound) {
				b, err = f.object(ctx, name)
			}
			if err != nil {
				return nil, err
			}
			texts[i] = b
		}
		return texts, nil
	}
}
