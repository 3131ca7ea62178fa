package workspace

import (
	"context"
	"runtime"
	"sync"
)

// pool runs the jobs of one operation: reading and writing of files whose descriptors are already
// open. The first few run in the caller's goroutine, because most operations touch few files and
// starting workers costs more than they do; after these, one worker for each processor.
//
// Each job runs, also after an error, because it owns a descriptor to close; a job looks at the
// context first. wait must be called exactly once.
type pool struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	objs   Objects
	own    reader
	inline int
	jobs   chan job
	wg     sync.WaitGroup
}

type job func(ctx context.Context, r *reader) error

const (
	inlineJobs = 8
	queuedJobs = 128 // open descriptors
)

func newPool(ctx context.Context, objs Objects) *pool {
	p := &pool{objs: objs, own: reader{objs: objs}}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	return p
}

func (p *pool) do(j job) {
	if p.inline < inlineJobs {
		p.inline++
		p.run(j, &p.own)
		return
	}
	if p.jobs == nil {
		p.jobs = make(chan job, queuedJobs)
		for range max(2, runtime.GOMAXPROCS(0)) {
			p.wg.Go(func() {
				r := reader{objs: p.objs}
				for j := range p.jobs {
					p.run(j, &r)
				}
			})
		}
	}
	p.jobs <- j
}

func (p *pool) run(j job, r *reader) {
	if err := j(p.ctx, r); err != nil {
		p.cancel(err)
	}
}

// err is the first job's error or the context's, as soon as there is one, so that the walk ends.
func (p *pool) err() error { return context.Cause(p.ctx) }

// wait ends the workers and returns walked, the error of the walk, or else the first job's.
func (p *pool) wait(walked error) error {
	if p.jobs != nil {
		close(p.jobs)
		p.wg.Wait()
	}
	err := p.err()
	p.cancel(nil)
	if err != nil {
		return err // also when walked is only its echo
	}
	return walked
}
