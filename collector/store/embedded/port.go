package embedded

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// reservedPort is a port of 127.0.0.1 that is kept for the engine: a socket bound to it, with SO_REUSEPORT, that never
// listens. Only sockets of the same user that set the option too can be bound to the port.
type reservedPort struct {
	fd   int
	port int
}

// reservePort takes the wanted port if nobody has it, else any free one.
func reservePort(wanted int) (*reservedPort, error) {
	if wanted != 0 && portFree(wanted) {
		if p, err := bindPort(wanted); err == nil {
			return p, nil
		}
	}
	p, err := bindPort(0)
	if err != nil {
		return nil, fmt.Errorf("reserve a port on 127.0.0.1: %w", err)
	}
	return p, nil
}

// portFree says whether nobody has the port, not even another engine of ours, which would let us share it.
func portFree(port int) bool {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp4", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func bindPort(port int) (*reservedPort, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	unix.CloseOnExec(fd)
	p := &reservedPort{fd: fd}
	if err := p.bind(port); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return p, nil
}

func (p *reservedPort) bind(port int) error {
	// Not SO_REUSEADDR: any program that sets it, as most do, could then be bound to the port while no engine listens.
	if err := unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(p.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	name, err := unix.Getsockname(p.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	p.port = name.(*unix.SockaddrInet4).Port
	return nil
}

func (p *reservedPort) Close() error { return unix.Close(p.fd) }
