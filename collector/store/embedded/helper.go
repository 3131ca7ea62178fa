package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"
)

const (
	// helperName is argument 0 of a helper. What follows it is one of the modes and its arguments.
	helperName = "tacho-clickhouse"
	// modeLibrary FILE ARGS…: load FILE and run ClickHouse's local server in it.
	modeLibrary = "library"
	// modeServer FILE ARGS…: run the program FILE and end it with the lifeline.
	modeServer = "server"

	// helperMark is set in a helper's environment. A process that has it and calls Open forgot RunIfHelper,
	// and would start itself for ever.
	helperMark = "TACHO_CLICKHOUSE_HELPER"

	// Descriptors a helper is started with.
	lifelineFD  = 3 // read end; its end is the order to end
	childLockFD = 4 // held open as long as an engine lives, never used

	// killAfter is how long a server may take to end by itself.
	killAfter = 5 * time.Second
	// killLibraryAfter is that for the local server. It ends within 25 ms unless clients keep connections to it, for which it
	// would wait 5 s, whatever shutdown_wait_unfinished says. It loses nothing that it acknowledged by being killed.
	killLibraryAfter = time.Second

	// statusNoLibrary is a helper's exit status when the library cannot be loaded.
	statusNoLibrary = 3
)

// RunIfHelper turns this process into the engine if it was started as one, and then never returns. Programs, and the
// TestMain of tests, that start an engine call it first: the engine is this same binary, executed once more.
func RunIfHelper() {
	if os.Args[0] != helperName {
		return
	}
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "run engine: this process is started by tacho only")
		os.Exit(2)
	}
	// A core of an engine holds everybody's rows.
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	syscall.CloseOnExec(lifelineFD)
	lifeline := os.NewFile(lifelineFD, "lifeline")
	var err error
	switch os.Args[1] {
	case modeLibrary:
		err = runLibrary(os.Args[2], os.Args[3:], lifeline)
	case modeServer:
		err = runServer(os.Args[2], os.Args[3:], lifeline)
	default:
		err = fmt.Errorf("unknown mode %q", os.Args[1])
	}
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "run engine:", err)
	if errors.Is(err, errNoLibrary) {
		os.Exit(statusNoLibrary)
	}
	os.Exit(1)
}

var errNoLibrary = errors.New("the library cannot be loaded")

// runLibrary runs the local server of libchdb until the lifeline ends.
func runLibrary(file string, args []string, lifeline *os.File) error {
	syscall.CloseOnExec(childLockFD)
	held, release, err := os.Pipe()
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, lifeline)
		release.Close()
		time.Sleep(killLibraryAfter)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}()
	runtime.LockOSThread()
	handle, err := purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoLibrary, err)
	}
	args = append([]string{"clickhouse"}, args...)
	args = append(args, "--query", engineScript(held.Fd()))
	err = queryCmdline(handle, args)
	runtime.KeepAlive(held)
	return err
}

// engineScript is what the local server executes: listen, then block on the lifeline.
func engineScript(fd uintptr) string {
	return "SYSTEM START LISTEN HTTP; SELECT count() FROM file('/dev/fd/" + strconv.Itoa(int(fd)) + "', LineAsString) FORMAT Null"
}

// queryCmdline calls chdb_query_cmdline(int argc, char **argv), which is the main function of
// `clickhouse local`, and returns the error that it reports.
func queryCmdline(handle uintptr, args []string) error {
	for _, name := range []string{"chdb_query_cmdline", "chdb_result_error"} {
		if _, err := purego.Dlsym(handle, name); err != nil {
			return fmt.Errorf("%w: %w", errNoLibrary, err)
		}
	}
	var cmdline func(argc int32, argv unsafe.Pointer) uintptr
	var resultError func(result uintptr) string
	purego.RegisterLibFunc(&cmdline, handle, "chdb_query_cmdline")
	purego.RegisterLibFunc(&resultError, handle, "chdb_result_error")

	var pins runtime.Pinner // C keeps the pointers while the server runs
	defer pins.Unpin()
	argv := make([]unsafe.Pointer, len(args)+1)
	for i, arg := range args {
		text := append([]byte(arg), 0)
		pins.Pin(&text[0])
		argv[i] = unsafe.Pointer(&text[0])
	}
	pins.Pin(&argv[0])
	result := cmdline(int32(len(args)), unsafe.Pointer(&argv[0]))
	if result == 0 {
		return nil
	}
	if text := resultError(result); text != "" {
		return errors.New(text)
	}
	return nil
}

// runServer runs a ClickHouse server beside this process until the lifeline ends. The server inherits the
// child's lock, so that the directory stays taken should it outlive us.
func runServer(program string, args []string, lifeline *os.File) error {
	runtime.LockOSThread() // the kernel's death signal follows the thread that started the child
	server := exec.Command(program, args...)
	server.Stdout, server.Stderr = os.Stdout, os.Stderr
	server.ExtraFiles = []*os.File{os.NewFile(childLockFD, "child.lock")}
	server.SysProcAttr = dieWithParent()
	// Who stops the helper means the server; what it does about it decides.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if err := server.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, lifeline)
		signals <- syscall.SIGTERM
	}()
	go func() {
		<-signals
		_ = server.Process.Signal(syscall.SIGTERM)
		time.Sleep(killAfter)
		_ = server.Process.Kill()
	}()
	return server.Wait()
}
