package sandbox_test

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// archAttacks try the other two system-call tables of this processor.
func archAttacks() []attack {
	return []attack{
		{name: "32-bit calls", killed: "SIGSYS", do: func() error {
			// mov eax, 20 (getpid); int 0x80; ret
			code, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err != nil {
				return err
			}
			copy(code, []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3})
			entry := &code[0]
			fn := &entry
			(*(*func())(unsafe.Pointer(&fn)))()
			return nil
		}},
		{name: "x32 calls", noControl: "few kernels have them", do: func() error { return raw(0x40000000 | unix.SYS_GETPID) }},
	}
}
