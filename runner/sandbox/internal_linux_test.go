//go:build amd64 || arm64

package sandbox

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pair gives two connected ends.
func pair(t testing.TB) (*conn, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConn(os.NewFile(uintptr(fds[0]), "a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close() })
	return c, os.NewFile(uintptr(fds[1]), "b")
}

// FuzzFrame feeds arbitrary bytes to the reader of frames: it returns an error or exactly the body that was announced.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02e{}"))
	f.Add([]byte("\x00\x00\x00\x05c"))
	f.Add([]byte("\xff\xff\xff\xffs"))
	f.Add([]byte{})
	f.Add([]byte("\x00\x00\x00\x00r\x00\x00\x00\x01r{"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 64<<10 {
			return
		}
		c, other := pair(t)
		if _, err := other.Write(in); err != nil {
			t.Fatal(err)
		}
		other.Close()
		rest := in
		for {
			kind, body, fds, err := c.receive()
			if err != nil {
				return
			}
			n := int(binary.BigEndian.Uint32(rest))
			if len(fds) != 0 || kind != rest[4] || !bytes.Equal(body, rest[5:5+n]) {
				t.Fatalf("got %q %q from %q", kind, body, rest)
			}
			rest = rest[5+n:]
		}
	})
}

func TestFrameCarriesDescriptors(t *testing.T) {
	a, other := pair(t)
	b, err := newConn(other)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := a.send(kindSignal, signalCall{ID: "x", Signal: 15}, int(w.Fd())); err != nil {
		t.Fatal(err)
	}
	w.Close()
	kind, body, fds, err := b.receive()
	if err != nil || kind != kindSignal || string(body) != `{"id":"x","signal":15}` || len(fds) != 1 {
		t.Fatalf("got %q %q %v %v", kind, body, fds, err)
	}
	if flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("received descriptor would be inherited: %x, %v", flags, err)
	}
	closeAll(fds)
}

// TestFilterVerdicts runs both filters in an interpreter of our own over every number, so that a number the tree loses is
// seen without asking the kernel.
func TestFilterVerdicts(t *testing.T) {
	for _, tier := range []Tier{TierNamespaces, TierLandlock} {
		code := filter(tier)
		want := make(map[uint32]uint32)
		for _, nr := range deniedCalls() {
			want[nr] = denyCall
		}
		if tier == TierLandlock {
			for _, nr := range tier2Denied() {
				want[nr] = denyCall
			}
		}
		for _, nr := range absentCalls() {
			want[nr] = absentCall
		}
		conditional := map[uint32]bool{unix.SYS_SETPRIORITY: true, unix.SYS_IOPRIO_SET: true, unix.SYS_SOCKETPAIR: true, unix.SYS_SOCKET: true}
		for nr := range uint32(1000) {
			got := interpret(t, code, nr, auditArch)
			expect, known := want[nr]
			switch {
			case nr > lastKnown:
				expect = absentCall
			case !known && conditional[nr]:
				continue // their arguments are all zero here, which some rules deny
			case !known:
				expect = allowCall
			}
			if got != expect {
				t.Errorf("%v: call %d gets %#x, want %#x", tier, nr, got, expect)
			}
		}
		if got := interpret(t, code, unix.SYS_READ, 0x40000003); got != killCaller {
			t.Errorf("%v: another architecture gets %#x", tier, got)
		}
	}
}

// interpret runs the subset of BPF that the assembler emits, with all arguments zero.
func interpret(t *testing.T, code []unix.SockFilter, nr, arch uint32) uint32 {
	t.Helper()
	var acc uint32
	for pc := 0; pc < len(code); pc++ {
		in := code[pc]
		jump := func(cond bool) {
			if cond {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = map[uint32]uint32{dataNumber: nr, dataArch: arch}[in.K]
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= in.K
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(acc == in.K)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			jump(acc > in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(acc >= in.K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump(acc&in.K != 0)
		default:
			t.Fatalf("instruction %d has code %#x", pc, in.Code)
		}
	}
	t.Fatal("ran off the end")
	return 0
}

// A program that forgets RunIfHelper must not start itself again without end: the helper that then runs its main
// is refused a helper of its own. Not parallel: it changes the arguments of this process.
func TestHelperStartsNoHelper(t *testing.T) {
	args := os.Args
	defer func() { os.Args = args }()
	os.Args = []string{helperName}
	if _, err := startHelper(t.Context(), Config{}, layout{}, nil); err == nil || !strings.Contains(err.Error(), "RunIfHelper") {
		t.Errorf("a helper started another: %v", err)
	}
}
