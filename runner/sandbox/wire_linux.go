//go:build amd64 || arm64

package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Kinds of frame; the package comment gives their format and direction.
const (
	kindStart   = 's'
	kindCall    = 'c'
	kindSignal  = 'k'
	kindReady   = 'r'
	kindRefused = 'x'
	kindEnded   = 'e'
)

const (
	frameHeader = 5
	frameLimit  = 8 << 20
	fdLimit     = 253 // SCM_MAX_FD
)

// layout is the start frame: what the zygote shows, and how.
type layout struct {
	Tier     Tier   `json:"tier"`
	Mount    string `json:"mount"` // this and the next two as processes see them
	Home     string `json:"home"`
	Tmp      string `json:"tmp"`
	InnerUID int    `json:"inner_uid"`
	Limits   Limits `json:"limits"`
	Binds    []bind `json:"binds"` // one descriptor each, in this order
	Links    []link `json:"links"` // symbolic links of the root directory
}

// link is a symbolic link that the host's root has too, such as /bin to usr/bin.
type link struct {
	Name   string `json:"name"`
	Target string `json:"target"`
}

// bind is one thing to show. In tier 2 nothing moves: Source and Target are equal and Access is all that counts.
type bind struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	Use      use    `json:"use"`
	Detached bool   `json:"detached"` // the descriptor is a detached mount with its attributes set; else it is O_PATH
}

// use says what a bind is for, and so its mount attributes and its Landlock rights.
type use string

const (
	useShow   use = "show"   // read and execute
	useRead   use = "read"   // one file, read
	useDevice use = "device" // read and write, with device semantics
	useWrite  use = "write"  // everything but set-user-id and devices
	useTree   use = "tree"   // the managed tree where calls see it; writable only through an overlay, or with Overlay in tier 2
	useHidden use = "hidden" // for the zygote only
)

// attributes are what the mount gets, for the whole subtree.
func (u use) attributes() uint64 {
	switch u {
	case useDevice:
		return unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
	case useWrite, useHidden:
		return unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	}
	return unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
}

// access is what Landlock grants on it.
func (u use) access() uint64 {
	switch u {
	case useDevice:
		return accessReadWrite
	case useWrite:
		return accessAll
	case useRead:
		return accessRead
	}
	return accessShow
}

// request is the call frame.
type request struct {
	ID      string   `json:"id"`
	Args    [][]byte `json:"args"`
	Env     [][]byte `json:"env"`
	Dir     []byte   `json:"dir"`
	Overlay bool     `json:"overlay"`
}

// signalCall is the signal frame. SIGTERM goes to the command's process group, SIGKILL to all of the call.
type signalCall struct {
	ID     string `json:"id"`
	Signal int    `json:"signal"`
}

// ready is what the zygote found.
type ready struct {
	ABI int `json:"abi"`
}

// refused says which step the kernel did not grant, and which of its features that step needs.
type refused struct {
	Feature string `json:"feature"`
	Step    string `json:"step"`
	Errno   int    `json:"errno"`
	Detail  string `json:"detail,omitempty"` // where there is no errno
}

func (r *refused) Error() string { return r.Step + ": " + r.cause().Error() }
func (r *refused) Unwrap() error { return r.cause() }

func (r *refused) cause() error {
	if r.Errno != 0 {
		return unix.Errno(r.Errno)
	}
	return errors.New(r.Detail)
}

// refuse makes err, met at step, a refusal. A refusal stays what it is.
func refuse(feature, step string, err error) *refused {
	var r *refused
	if errors.As(err, &r) {
		return r
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		return &refused{Feature: feature, Step: step, Errno: int(errno)}
	}
	return &refused{Feature: feature, Step: step, Detail: err.Error()}
}

// ended is how a call went.
type ended struct {
	ID         string   `json:"id"`
	Refused    *refused `json:"refused,omitempty"` // nothing was run
	Status     uint32   `json:"status"`            // as wait4 gives it
	DurationNS int64    `json:"duration_ns"`
	UserNS     int64    `json:"user_ns"`
	SystemNS   int64    `json:"system_ns"`
	MaxRSS     int64    `json:"max_rss"`        // bytes
	Left       int      `json:"left,omitempty"` // processes that could not be ended (tier 2)
}

// conn is one end of the socket. Frames of several goroutines do not mix.
type conn struct {
	c  *net.UnixConn
	mu sync.Mutex
}

func newConn(f *os.File) (*conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("descriptor is a %T, not a unix socket", c)
	}
	return &conn{c: u}, nil
}

func (c *conn) close() error { return c.c.Close() }

// send writes one frame with its descriptors, which stay the caller's.
func (c *conn) send(kind byte, body any, fds ...int) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode frame %c: %w", kind, err)
	}
	if len(b) > frameLimit {
		return fmt.Errorf("encode frame %c: %d bytes, at most %d", kind, len(b), frameLimit)
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	header := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	if _, _, err := c.c.WriteMsgUnix(append(header, kind), oob, nil); err != nil {
		return fmt.Errorf("send frame %c: %w", kind, err)
	}
	if _, err := c.c.Write(b); err != nil {
		return fmt.Errorf("send frame %c: %w", kind, err)
	}
	return nil
}

// receive reads one frame. The descriptors are the caller's, closed on exec. io.EOF if the other side is gone.
func (c *conn) receive() (kind byte, body []byte, fds []int, err error) {
	var header [frameHeader]byte
	oob := make([]byte, unix.CmsgSpace(4*fdLimit))
	n, oobn, _, _, err := c.c.ReadMsgUnix(header[:], oob)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return 0, nil, nil, err
	}
	if fds, err = parseRights(oob[:oobn]); err != nil {
		return 0, nil, nil, err
	}
	if _, err = io.ReadFull(c.c, header[n:]); err == nil {
		kind, body, err = readBody(header, c.c)
	}
	if err != nil {
		closeAll(fds)
		return 0, nil, nil, err
	}
	return kind, body, fds, nil
}

func readBody(header [frameHeader]byte, r io.Reader) (byte, []byte, error) {
	n := binary.BigEndian.Uint32(header[:4])
	if n > frameLimit {
		return 0, nil, fmt.Errorf("receive frame %q: %d bytes announced, at most %d", header[4], n, frameLimit)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, fmt.Errorf("receive frame %q: %w", header[4], err)
	}
	return header[4], body, nil
}

func parseRights(oob []byte) ([]int, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("parse control message: %w", err)
	}
	var fds []int
	for i := range msgs {
		f, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			closeAll(fds)
			return nil, fmt.Errorf("parse descriptors: %w", err)
		}
		fds = append(fds, f...)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
