package state_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/journal/journaltest"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a new one")

// childJob is what the parent wants of a child process, as JSON in the environment.
type childJob struct {
	Dir   string
	Seed  uint64
	Runs  int    // written by two goroutines each
	Point string // where to stop and wait for death, as "sync .part"; "" for nowhere
	Nth   int64  // occurrence of the point, from 1
	Erase bool   // remove the first run's family after some writing
}

const childEnv = "TACHO_STATE_TEST_CHILD"

// childLine is what the child says on its pipe, one JSON object a line: an acknowledgement, or
// that the point is reached.
type childLine struct {
	Reached bool             `json:",omitzero"`
	Run     journal.RunID    `json:",omitzero"`
	Written []state.Written  `json:",omitzero"`
	Objects []journal.Object `json:",omitzero"`
	Erased  bool             `json:",omitzero"` // the family of Run is about to be removed
	Error   string           `json:",omitzero"`
}

// pipe says lines; one write each, so that a line is whole or not there.
type pipe struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *pipe) say(l childLine) {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.w.Write(append(text, '\n')); err != nil {
		os.Exit(1) // the parent is gone
	}
}

// runIfChild is the child's main: it writes until it is killed, or its parent closes the pipe.
func runIfChild() {
	text := os.Getenv(childEnv)
	if text == "" {
		return
	}
	var job childJob
	out := &pipe{w: os.NewFile(3, "pipe")}
	err := json.Unmarshal([]byte(text), &job)
	if err == nil {
		err = job.work(out)
	}
	out.say(childLine{Error: fmt.Sprint(err)})
	os.Exit(1)
}

func (job childJob) work(out *pipe) error {
	fs := &stoppingFS{FS: vfs.Default, job: job, out: out}
	s, err := state.Open(job.Dir, state.Options{FS: fs, Reserve: -1, CheckpointEvery: 30})
	if err != nil {
		return err
	}
	fs.armed.Store(true)
	ctx, errs := context.Background(), make(chan error)
	for n := range job.Runs {
		r, err := job.open(ctx, s, n, out)
		if err != nil {
			return err
		}
		for k := range 2 {
			c := newScribe(r, job.Seed+uint64(n*10+k), newLedger())
			c.ack = func(id journal.RunID, written []state.Written, objects []journal.Object) {
				out.say(childLine{Run: id, Written: written, Objects: objects})
			}
			go func() {
				for {
					if err := c.write(ctx); err != nil {
						errs <- err
						return
					}
				}
			}()
		}
	}
	if job.Erase {
		if err := job.erase(ctx, s, out); err != nil {
			return err
		}
	}
	return <-errs
}

// open goes on with a run of an earlier child, or makes it.
func (job childJob) open(ctx context.Context, s *state.Store, n int, out *pipe) (*state.Run, error) {
	r, err := s.Run(ctx, runID(n))
	if err == nil {
		return r, r.Take(ctx)
	}
	if r, err = s.Create(ctx, runID(n), state.CreateOptions{}); err != nil {
		return nil, err
	}
	g := journaltest.New(job.Seed)
	g.Stage = r.Stage
	written, err := r.Append(ctx, state.Draft{Agent: "/", Body: g.Start(r.ID())})
	if err != nil {
		return nil, err
	}
	out.say(childLine{Run: r.ID(), Written: written})
	return r, r.Objects().SealBase(ctx, journal.Object{9})
}

// erase makes a family of its own with large content and removes it.
func (job childJob) erase(ctx context.Context, s *state.Store, out *pipe) error {
	r, err := s.Create(ctx, runID(1000+int(job.Nth)), state.CreateOptions{})
	if err != nil {
		return err
	}
	c := newScribe(r, job.Seed+999, newLedger())
	g := journaltest.New(job.Seed)
	g.Stage = r.Stage
	if _, err := r.Append(ctx, state.Draft{Agent: "/", Body: g.Start(r.ID())}); err != nil {
		return err
	}
	for range 30 {
		if err := c.write(ctx); err != nil {
			return err
		}
	}
	out.say(childLine{Run: r.ID(), Erased: true})
	return s.Remove(ctx, r.ID(), state.RemoveOptions{})
}

// stoppingFS stops the world at the job's point: it says so and never returns.
type stoppingFS struct {
	vfs.FS
	job   childJob
	out   *pipe
	armed atomic.Bool
	seen  atomic.Int64
}

func (f *stoppingFS) pass(op, path string) {
	if !f.armed.Load() || f.job.Point == "" {
		return
	}
	want, name, _ := strings.Cut(f.job.Point, " ")
	if op != want || !strings.Contains(filepath.ToSlash(path), name) {
		return
	}
	if f.seen.Add(1) == f.job.Nth {
		f.out.say(childLine{Reached: true})
		select {}
	}
}

func (f *stoppingFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.pass("create", name)
	file, err := f.FS.Create(name, c)
	return f.wrap(file, name), err
}

func (f *stoppingFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name, c, o...)
	return f.wrap(file, name), err
}

func (f *stoppingFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return f.wrap(file, name), err
}

func (f *stoppingFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.pass("reuse", name)
	file, err := f.FS.ReuseForWrite(old, name, c)
	return f.wrap(file, name), err
}

func (f *stoppingFS) Rename(old, name string) error {
	f.pass("rename", old)
	err := f.FS.Rename(old, name)
	f.pass("renamed", old)
	return err
}

func (f *stoppingFS) Remove(name string) error {
	f.pass("remove", name)
	return f.FS.Remove(name)
}

func (f *stoppingFS) RemoveAll(name string) error {
	f.pass("removeall", name)
	return f.FS.RemoveAll(name)
}

func (f *stoppingFS) wrap(file vfs.File, name string) vfs.File {
	if file == nil {
		return nil
	}
	return &stoppingFile{file, f, name}
}

type stoppingFile struct {
	vfs.File
	fs   *stoppingFS
	name string
}

func (f *stoppingFile) Write(b []byte) (int, error) {
	f.fs.pass("write", f.name)
	return f.File.Write(b)
}

func (f *stoppingFile) Sync() error { return f.sync(f.File.Sync) }

func (f *stoppingFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *stoppingFile) sync(do func() error) error {
	f.fs.pass("sync", f.name)
	err := do()
	f.fs.pass("synced", f.name)
	return err
}

// listen reads what a child says until its pipe is closed.
func listen(r io.Reader, each func(childLine)) error {
	lines := bufio.NewReaderSize(r, 1<<20)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return nil // killed; half a line is nothing
		}
		var l childLine
		if err := json.Unmarshal(text, &l); err != nil {
			return err
		}
		each(l)
	}
}
