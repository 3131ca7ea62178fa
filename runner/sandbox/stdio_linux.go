//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// stdio is the three pipes of a call: child ends for the command, parent ends pumped by goroutines.
type stdio struct {
	child []*os.File // descriptors 0, 1 and 2 of the command
	reads []*os.File // our ends of stdout and stderr
	input *os.File   // our end of stdin; nil without one
	pumps sync.WaitGroup
}

// newStdio makes the pipes. As root they are given to owner, the tools' user, or a command could not open its own
// /dev/stdout; a negative owner leaves them.
func newStdio(c Command, owner int) (*stdio, error) {
	s := &stdio{}
	err := s.open(c)
	for _, f := range s.child {
		if err == nil && owner >= 0 {
			err = f.Chown(owner, owner)
		}
	}
	if err != nil {
		s.closeChild()
		s.closeParent()
		return nil, err
	}
	return s, nil
}

func (s *stdio) open(c Command) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.child, s.input = append(s.child, r), w
	if c.Stdin == nil { // an empty pipe rather than the host's /dev/null, which a tool could not open again as /dev/stdin
		s.input = nil
		w.Close()
	}
	for range 2 {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		s.child, s.reads = append(s.child, w), append(s.reads, r)
	}
	return nil
}

// descriptors are the child's ends, in order. os.File.Fd makes them blocking, which is what programs expect.
func (s *stdio) descriptors() []int {
	fds := make([]int, len(s.child))
	for i, f := range s.child {
		fds[i] = int(f.Fd())
	}
	return fds
}

// pump starts copying. Writers are called from their own goroutine each, until finish returns.
func (s *stdio) pump(c Command) {
	for i, w := range []io.Writer{c.Stdout, c.Stderr} {
		s.pumps.Go(func() { drain(w, s.reads[i]) })
	}
	if s.input == nil {
		return
	}
	// Not waited for: it may be inside a Read that nobody can interrupt (Command.Stdin says so).
	go func(in *os.File) {
		_, _ = io.Copy(in, struct{ io.Reader }{c.Stdin}) // the command may close its input whenever it likes
		in.Close()
	}(s.input)
}

// drain copies until the pipe ends; past an error of the writer, or without one, it discards.
func drain(w io.Writer, r *os.File) {
	if w != nil {
		_, err := io.Copy(struct{ io.Writer }{w}, r)
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
	_, _ = io.Copy(io.Discard, r)
}

// escapedGrace is how long finish reads on when a process that could not be ended keeps a pipe open.
const escapedGrace = time.Second

// finish waits until everything that was written has been handed on. The writers' ends are closed by then, but for what
// escaped a sweep.
func (s *stdio) finish(escaped bool) {
	if escaped {
		for _, r := range s.reads {
			_ = r.SetReadDeadline(time.Now().Add(escapedGrace))
		}
	}
	s.pumps.Wait()
	s.closeParent()
}

func (s *stdio) closeChild() {
	for _, f := range s.child {
		f.Close()
	}
}

func (s *stdio) closeParent() {
	for _, r := range s.reads {
		r.Close()
	}
	if s.input != nil {
		s.input.Close()
	}
}
