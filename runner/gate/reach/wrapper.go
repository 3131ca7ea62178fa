package reach

import (
	"path"
	"strings"
)

// unwrap finds the command that a program runs for another: nice -n 5 make, sudo -u x rm. ok is
// false if the program is no such wrapper; inner may be empty.
func unwrap(args []word) (inner []word, ok bool) {
	valued, skip, assigns := "", 0, false
	switch path.Base(args[0].text) {
	case "sudo", "doas":
		valued, assigns = "u g h p C T U D R r t user group host prompt chdir chroot", true
	case "env":
		valued, assigns = "u C S unset chdir split-string", true
	case "nohup", "setsid", "builtin", "exec", "command", "time", "unbuffer", "fakeroot", "coproc":
		valued = "a f o"
	case "nice", "ionice", "chrt", "taskset":
		valued = "n c p adjustment class classdata"
	case "timeout":
		valued, skip = "k s kill-after signal", 1
	case "stdbuf":
		valued = "i o e input output error"
	case "xargs", "parallel":
		valued = "I n P L s d E a j max-args max-procs max-lines delimiter arg-file replace jobs"
	case "watch":
		valued = "n interval"
	case "strace", "ltrace", "perf", "valgrind", "gdb":
		valued = "e o p u output trace"
	case "chroot", "unshare", "nsenter", "setpriv", "runuser", "pkexec", "bwrap":
		valued, skip = "u g t G user group target", 0
	case "busybox", "toybox", "npx", "pnpx", "bunx", "uvx", "pipx":
		valued = "p package call c from"
	case "su":
		valued = "c s g G command shell group"
	case "flock":
		valued, skip = "w E timeout", 1
	default:
		return nil, false
	}
	return afterOptions(args[1:], valued, skip, assigns), true
}

// afterOptions cuts leading options, NAME=value words and skip operands off; what follows the
// first operand belongs to the inner command, hyphens included.
func afterOptions(args []word, valued string, skip int, assigns bool) []word {
	for len(args) > 0 {
		text := args[0].text
		switch {
		case text == "--" && !args[0].dynamic:
			args = args[1:]
			return args[min(skip, len(args)):]
		case len(text) > 1 && text[0] == '-':
			name := strings.TrimLeft(text, "-")
			takes := strings.Contains(" "+valued+" ", " "+name+" ") && !strings.Contains(text, "=")
			args = args[1:]
			if takes && len(args) > 0 {
				args = args[1:]
			}
		case assigns && strings.Contains(text, "=") && !strings.HasPrefix(text, "="):
			args = args[1:]
		case skip > 0:
			skip--
			args = args[1:]
		default:
			return args
		}
	}
	return nil
}

// unwrapped takes all wrappers off.
func unwrapped(args []word) []word {
	for range maxDepth {
		if len(args) == 0 {
			return nil
		}
		inner, wraps := unwrap(args)
		if !wraps {
			return args
		}
		args = inner
	}
	return nil
}

// wrapper reads the inner command, and what the wrapper itself adds.
func (r *shell) wrapper(name string, args, inner []word) {
	switch name {
	case "sudo", "doas", "pkexec", "runuser", "chroot", "nsenter", "unshare", "setpriv":
		r.Escalates = true
	case "strace", "ltrace", "gdb", "perf", "flock", "env":
		r.wrappedText(args)
	case "su":
		r.Escalates = true
		r.wrappedText(args)
		return
	}
	if name == "watch" || name == "parallel" {
		if len(inner) == 1 {
			r.code(inner[0])
			return
		}
	}
	if name == "npx" || name == "pnpx" || name == "bunx" || name == "uvx" {
		r.InstallsPackages = true
	}
	r.assignWords(args[1 : len(args)-len(inner)])
	if len(inner) == 0 {
		return
	}
	if name == "xargs" || name == "parallel" {
		// The rest of the arguments comes from the input.
		inner = append(inner[:len(inner):len(inner)], word{dynamic: true})
	}
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > maxDepth {
		r.Opaque = true
		return
	}
	r.run(inner)
}

// wrappedText reads a command that is given as the value of an option: su -c, flock -c, env -S.
func (r *shell) wrappedText(args []word) {
	opts, _ := options(args[1:], "c S command split-string")
	if text, ok := value(opts, "c", "S", "command", "split-string"); ok {
		r.code(text)
	}
}

// assignWords looks at NAME=value given to sudo or env.
func (r *shell) assignWords(args []word) {
	for _, a := range args {
		if name, _, ok := strings.Cut(a.text, "="); ok && runsItsValue(name) {
			r.Opaque = true
		}
	}
}
