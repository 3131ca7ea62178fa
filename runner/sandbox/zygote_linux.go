//go:build amd64 || arm64

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// helperName is the whole argument list of a zygote. It holds nothing that ps should not show.
const helperName = "tacho-sandbox"

// RunIfHelper turns this process into a zygote if it was started as one, and then never returns. Programs and tests that
// use this package call it first thing in main or TestMain: a zygote is this same binary, executed once more.
func RunIfHelper() {
	if !isHelper() {
		return
	}
	unix.CloseOnExec(helperAlive)
	if err := runZygote(os.NewFile(helperSocket, "socket")); err != nil {
		fmt.Fprintln(os.Stderr, "run zygote:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func isHelper() bool { return len(os.Args) == 1 && os.Args[0] == helperName }

// helperSocket is the zygote's end of the socket pair, the first descriptor after the standard three.
const helperSocket = 3

// helperAlive is the file that is locked as long as the zygote or an init lives. Nobody reads or closes it.
const helperAlive = 4

// grant is a Landlock rule that every call gets.
type grant struct {
	fd     int // O_PATH, held as long as the zygote lives
	access uint64
}

// zygote is the inside of a run's helper process.
type zygote struct {
	conn    *conn
	layout  layout
	abi     int
	grants  []grant
	tree    int             // tier 2: O_PATH of the tree, whose rights depend on the call
	filter  *unix.SockFprog // of the tier; it and its code are pinned, since children are given its address
	pins    runtime.Pinner
	masks   []string      // tier 1: files of proc that calls do not see
	nets    *pool[int]    // tier 1: network namespaces
	scratch *pool[string] // tier 1: overlay directories
	spareFD int           // a descriptor number that scripts may overwrite

	mu    sync.Mutex
	calls map[string]*liveCall
	wg    sync.WaitGroup
}

// runZygote serves one run until the parent closes the socket.
func runZygote(socket *os.File) error {
	c, err := newConn(socket)
	if err != nil {
		return err
	}
	z := &zygote{conn: c, tree: -1, calls: make(map[string]*liveCall)}
	kind, body, fds, err := c.receive()
	if err != nil {
		return fmt.Errorf("receive layout: %w", err)
	}
	if kind != kindStart {
		return fmt.Errorf("receive layout: frame %q instead", kind)
	}
	if err := json.Unmarshal(body, &z.layout); err != nil {
		return fmt.Errorf("parse layout: %w", err)
	}
	if r := z.prepare(fds); r != nil {
		return c.send(kindRefused, r)
	}
	if err := c.send(kindReady, ready{ABI: z.abi}); err != nil {
		return err
	}
	z.wg.Go(z.refill)
	err = z.serve()
	z.endAll()
	return err
}

// prepare makes everything that calls share, and then plays a whole call without a command, so that a kernel which
// refuses any step of it is found out now.
func (z *zygote) prepare(fds []int) *refused {
	if len(fds) != len(z.layout.Binds) {
		return refuse(featureProtocol, "receive descriptors", fmt.Errorf("%d for %d binds", len(fds), len(z.layout.Binds)))
	}
	unix.Umask(0o022)
	var err error
	switch z.layout.Tier {
	case TierNamespaces:
		err = z.prepareNamespaces(fds)
	case TierLandlock:
		err = z.prepareLandlock(fds)
	default:
		closeAll(fds)
		err = checkSweep()
	}
	if err != nil {
		return refuse(featureMounts, "prepare", err)
	}
	if z.spareFD, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return refuse(featureMounts, "open /dev/null", err)
	}
	code := filter(z.layout.Tier)
	z.filter = &unix.SockFprog{Len: uint16(len(code)), Filter: unsafe.SliceData(code)}
	z.pins.Pin(z.filter.Filter)
	z.pins.Pin(z.filter)
	return z.rehearse()
}

func (z *zygote) demandABI(least int) error {
	abi, err := landlockABI()
	if err != nil {
		return refuse(featureLandlock, "ask for the Landlock version", err)
	}
	if abi < least {
		return refuse(featureLandlock, "ask for the Landlock version", fmt.Errorf("kernel has ABI %d, needed is %d", abi, least))
	}
	z.abi = abi
	return nil
}

func (z *zygote) prepareNamespaces(fds []int) error {
	if err := z.demandABI(tier1ABI); err != nil {
		return err
	}
	if err := buildRoot(z.layout, fds); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("sandbox")); err != nil {
		return refuse(featureMounts, "set host name", err)
	}
	z.masks = procMasks()
	z.nets, z.scratch = newPool(makeNetwork, closeFD), newPool(scratchMaker(), dropScratch)
	if err := z.grant("/", accessShow); err != nil {
		return err
	}
	for _, b := range z.layout.Binds {
		if b.Use == useWrite || b.Use == useDevice {
			if err := z.grant(b.Target, b.Use.access()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (z *zygote) grant(path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return refuse(featurePaths, "open "+path, err)
	}
	z.grants = append(z.grants, grant{fd, access})
	return nil
}

// prepareLandlock opens every path anew, as the user who will run the tools: one that user cannot reach is found here.
func (z *zygote) prepareLandlock(fds []int) error {
	defer closeAll(fds)
	if err := z.demandABI(tier2ABI); err != nil {
		return err
	}
	if err := checkSweep(); err != nil {
		return err
	}
	for i, b := range z.layout.Binds {
		fd, err := unix.Open(b.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return refuse(featurePaths, fmt.Sprintf("reach %s as uid %d", b.Source, os.Getuid()), err)
		}
		if err := sameFile(fds[i], fd); err != nil {
			return refuse(featurePaths, "open "+b.Source, err)
		}
		if b.Use == useTree {
			z.tree = fd
			continue
		}
		z.grants = append(z.grants, grant{fd, b.Use.access()})
	}
	return nil
}

// sameFile compares device and inode, so that a path exchanged between the parent's look and ours is noticed.
func sameFile(a, b int) error {
	var sa, sb unix.Stat_t
	if err := errors.Join(unix.Fstat(a, &sa), unix.Fstat(b, &sb)); err != nil {
		return err
	}
	if sa.Dev != sb.Dev || sa.Ino != sb.Ino {
		return errors.New("it was exchanged for another file meanwhile")
	}
	return nil
}

// serve handles frames until the socket ends. Each call has a goroutine; none blocks this one.
func (z *zygote) serve() error {
	for {
		kind, body, fds, err := z.conn.receive()
		if err != nil {
			return nil // the parent is gone, or closed us: the ordinary end
		}
		switch kind {
		case kindCall:
			err = z.beginCall(body, fds)
		case kindSignal:
			var s signalCall
			if err = json.Unmarshal(body, &s); err == nil {
				z.signal(s)
			}
		default:
			closeAll(fds)
			err = fmt.Errorf("frame %q is not for a zygote", kind)
		}
		if err != nil {
			return err
		}
	}
}

func (z *zygote) beginCall(body []byte, fds []int) error {
	var rq request
	if err := json.Unmarshal(body, &rq); err != nil || len(fds) != 3 {
		closeAll(fds)
		return fmt.Errorf("parse call: %d descriptors, %w", len(fds), err)
	}
	live := &liveCall{ended: make(chan struct{})}
	z.mu.Lock()
	z.calls[rq.ID] = live
	z.mu.Unlock()
	z.wg.Go(func() {
		e := z.call(rq, [3]int(fds), live)
		z.mu.Lock()
		delete(z.calls, rq.ID)
		z.mu.Unlock()
		_ = z.conn.send(kindEnded, e) // an error means that the parent is gone, which serve sees too
		z.refill()
	})
	return nil
}

// refill makes what the next calls will need.
func (z *zygote) refill() {
	if z.layout.Tier == TierNamespaces {
		z.nets.refill()
		z.scratch.refill()
	}
}

// endAll ends every call that still runs. As pid 1 that happens by itself, with this process.
func (z *zygote) endAll() {
	if z.layout.Tier == TierNamespaces {
		return
	}
	z.mu.Lock()
	ids := make([]string, 0, len(z.calls))
	for id := range z.calls {
		ids = append(ids, id)
	}
	z.mu.Unlock()
	for _, id := range ids {
		z.signal(signalCall{ID: id, Signal: int(unix.SIGKILL)})
	}
	z.wg.Wait()
}
