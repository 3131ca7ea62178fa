//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// pool keeps a few things ready that a call needs, that do not depend on the call, and that take as long to make as the
// rest of it: a network namespace, the directories of an overlay. They are made again when a call has ended, so that the
// next does not wait for them; one that finds none makes its own.
type pool[T any] struct {
	ready chan T
	make  func() (T, error)
	drop  func(T)
}

// spares is how many are kept: enough for an agent that makes a call at a time.
const spares = 2

func newPool[T any](produce func() (T, error), drop func(T)) *pool[T] {
	return &pool[T]{ready: make(chan T, spares), make: produce, drop: drop}
}

func (p *pool[T]) take() (T, error) {
	select {
	case v := <-p.ready:
		return v, nil
	default:
		return p.make()
	}
}

// refill adds one where one is missing. What cannot be made now is the next call's to report.
func (p *pool[T]) refill() {
	if len(p.ready) == cap(p.ready) {
		return
	}
	v, err := p.make()
	if err != nil {
		return
	}
	select {
	case p.ready <- v:
	default:
		p.drop(v)
	}
}

func closeFD(fd int) { unix.Close(fd) }

// makeNetwork makes a network namespace with nothing but loopback and gives a descriptor of it.
func makeNetwork() (int, error) {
	fd, err := -1, error(nil)
	onOwnThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			err = refuse(featureNetwork, "make network namespace", err)
			return
		}
		if err = raiseLoopback(); err != nil {
			err = refuse(featureNetwork, "raise loopback", err)
			return
		}
		if fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			err = refuse(featureNetwork, "open network namespace", err)
		}
	})
	return fd, err
}

func raiseLoopback() error {
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(sock)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(sock, unix.SIOCSIFFLAGS, ifr)
}

// onOwnThread runs f on a thread that ends with it, since what f does to the thread cannot be undone. The process's first
// thread cannot end, so there f goes to another while this one is held.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() != unix.Getpid() {
			defer close(done)
			f()
			return
		}
		onOwnThread(f)
		close(done)
		runtime.UnlockOSThread()
	}()
	<-done
}

// scratchMaker gives overlay directories names that no call has.
func scratchMaker() func() (string, error) {
	var n atomic.Int64
	return func() (string, error) {
		dir := filepath.Join(hiddenScratch, fmt.Sprintf("%s%d", sparePrefix, n.Add(1)))
		for _, d := range []string{dir, filepath.Join(dir, upperName), filepath.Join(dir, workName)} {
			if err := os.Mkdir(d, 0o700); err != nil {
				return "", refuse(featurePaths, "make overlay directories", err)
			}
		}
		return dir, nil
	}
}

func dropScratch(dir string) { _ = removeScratch(dir) } // what stays, the parent removes at the end
