package reach

import (
	"path"
	"strings"
)

// run reads one simple command: a program and its arguments.
func (r *shell) run(args []word) {
	if r.commands++; r.commands > maxCommands {
		r.Opaque = true
		return
	}
	first := args[0]
	if first.dynamic || first.glob {
		r.Opaque = true
		return
	}
	if first.text == "" {
		return
	}
	if r.funcs[first.text] {
		return
	}
	name := path.Base(first.text)
	r.program(name)
	if strings.Contains(first.text, "/") {
		r.file(first, reads)
	}
	if inner, wraps := unwrap(args); wraps {
		r.wrapper(name, args, inner)
		return
	}
	if r.special(name, args[1:]) {
		return
	}
	if u, known := usual(name); known {
		r.usual(u, args[1:])
	}
}

// special reads programs whose arguments are more than a list of files.
func (r *shell) special(name string, args []word) bool {
	switch {
	case isShell(name):
		r.shellProgram(args)
	case isInterpreter(name):
		r.interpreter(name, args)
	case r.files(name, args), r.network(name, args), r.packages(name, args), r.system(name, args):
	case name == "git":
		r.git(args)
	case name == "eval":
		r.eval(args)
	case name == "source", name == ".":
		r.Opaque = true
		if len(args) > 0 {
			r.file(args[0], reads)
		}
	case name == "cd", name == "pushd", name == "popd":
		r.changeDir(name, args)
	case name == "trap" && len(args) > 0:
		r.code(args[0])
	case name == "alias", name == "enable", name == "complete":
		r.Opaque = r.Opaque || len(args) > 0
	case name == "export", name == "declare", name == "typeset", name == "local", name == "readonly":
		// Reached through command or builtin: a declaration that the parser did not see as one.
		r.vars = nil
	default:
		return false
	}
	return true
}

// code reads a word that a shell will run.
func (r *shell) code(w word) {
	if w.dynamic {
		r.Opaque = true
		return
	}
	if w.text != "" && w.text != "-" {
		r.inner(w.text)
	}
}

func (r *shell) eval(args []word) {
	parts := make([]string, 0, len(args))
	for _, a := range args {
		if a.dynamic || a.glob {
			r.Opaque = true
			return
		}
		parts = append(parts, a.text)
	}
	// Unlike inner, eval changes this shell: its directory and variables.
	r.depth += 8
	defer func() { r.depth -= 8 }()
	if r.depth > maxDepth {
		r.Opaque = true
		return
	}
	r.perhaps(func() { r.read(strings.Join(parts, " ")) })
	r.vars = nil
}

// changeDir follows cd as far as it is certain.
func (r *shell) changeDir(name string, args []word) {
	_, rest := options(args, "")
	switch {
	case name == "popd", len(rest) > 0 && (rest[0].dynamic || rest[0].glob || rest[0].text == "-"),
		name == "pushd" && (len(rest) == 0 || strings.HasPrefix(rest[0].text, "+")):
		r.lost = true
		return
	case len(rest) == 0:
		r.dir = r.tree.Home
		r.lost = r.lost || r.tree.Home == ""
		return
	}
	place := r.tree.Locate(r.dir, rest[0].text, true)
	switch place.Where {
	case Invalid:
		r.lost = true
		return
	case Outside:
		r.OutsideTree = true
	}
	r.lost = r.maybe > 0 || r.lost && !strings.HasPrefix(rest[0].text, "/")
	r.dir = place.Path
}

func isShell(name string) bool {
	switch name {
	case "sh", "bash", "dash", "zsh", "ksh", "ash", "mksh", "fish", "rbash":
		return true
	}
	return false
}

// shellProgram reads bash -c TEXT; a script file is text that is not read.
func (r *shell) shellProgram(args []word) {
	for i, a := range args {
		switch {
		case a.dynamic:
			r.Opaque = true
			return
		case strings.HasPrefix(a.text, "-") && !strings.HasPrefix(a.text, "--") && strings.Contains(a.text, "c"):
			if i+1 < len(args) {
				r.code(args[i+1])
			}
			return
		case a.text == "-o" || a.text == "+o" || a.text == "--rcfile" || a.text == "--init-file":
			r.Opaque = r.Opaque || strings.HasPrefix(a.text, "--")
		case !strings.HasPrefix(a.text, "-") && !strings.HasPrefix(a.text, "+") && (i == 0 || args[i-1].text != "-o" && args[i-1].text != "+o"):
			r.Opaque = true
			r.file(a, reads)
			return
		}
	}
}

func isInterpreter(name string) bool {
	for _, prefix := range []string{"python", "pypy", "ruby", "perl", "node", "php", "lua", "deno", "bun", "osascript", "tclsh", "expect"} {
		if strings.HasPrefix(name, prefix) && strings.Trim(name[len(prefix):], "0123456789.js") == "" {
			return true
		}
	}
	return false
}

// interpreter marks code that stands on the command line in another language. A script file is a
// program like any other: its name is what is known.
func (r *shell) interpreter(name string, args []word) {
	for i, a := range args {
		switch {
		case a.dynamic, a.text == "-", a.text == "-e", a.text == "-E", a.text == "--eval", a.text == "-p", a.text == "-r", a.text == "eval",
			a.text == "-c" && strings.HasPrefix(name, "py"), strings.HasPrefix(a.text, "-ne"), strings.HasPrefix(a.text, "-pe"),
			strings.HasPrefix(a.text, "-i"), strings.HasPrefix(a.text, "--eval="):
			r.Opaque = true
			return
		case a.text == "-m" && strings.HasPrefix(name, "py"):
			if i+1 < len(args) {
				r.pythonModule(args[i+1:])
			}
			return
		case !strings.HasPrefix(a.text, "-"):
			if !r.packages(name, args) {
				r.file(a, reads)
			}
			return
		}
	}
}

// pythonModule reads python -m MODULE as the program of that name.
func (r *shell) pythonModule(args []word) {
	switch args[0].text {
	case "http.server", "pytest", "unittest", "venv", "compileall", "json.tool", "pdb", "timeit":
		return
	}
	r.run(args)
}

// usually is what the arguments of a plain program are.
type usually struct {
	valued   string // options that take a value, separated by blanks: "n o output"
	skip     int    // operands that are no files (a pattern, a mode)
	operands use
	last     use // the last operand, if that differs
}

// usual knows programs whose operands are files. A program that is not listed is still named in
// Programs; its operands are not taken for files, since most are not.
func usual(name string) (usually, bool) {
	switch name {
	case "cat", "tac", "nl", "less", "more", "wc", "file", "stat", "md5sum", "sha1sum", "sha256sum", "sha512sum",
		"b2sum", "xxd", "od", "hexdump", "strings", "base64", "base32", "readlink", "realpath", "ls", "tree", "du",
		"diff", "cmp", "comm", "paste", "join", "column", "fold", "rev", "zcat", "bzcat", "xzcat", "bat", "batcat", "vim", "view", "nano":
		return usually{operands: reads}, true
	case "head", "tail":
		return usually{valued: "n c lines bytes", operands: reads}, true
	case "sort", "cut", "uniq", "shuf":
		return usually{valued: "k t d f o S output key field-separator delimiter fields", operands: reads}, true
	case "grep", "egrep", "fgrep", "rg", "ag", "ack":
		return usually{valued: "e f A B C m g t T include exclude exclude-dir glob type regexp file", skip: 1, operands: reads}, true
	case "awk", "gawk", "mawk":
		return usually{valued: "v F f", skip: 1, operands: reads}, true
	case "jq", "yq":
		return usually{valued: "f arg argjson indent", skip: 1, operands: reads}, true
	case "touch", "mkdir", "mkfifo":
		return usually{valued: "m d t r mode date reference", operands: writes}, true
	case "tee":
		return usually{operands: writes}, true
	case "cp", "install", "ln":
		return usually{valued: "m o g t S mode target-directory", operands: reads, last: writes}, true
	case "rmdir", "unlink":
		return usually{operands: deletes}, true
	case "gofmt", "goimports", "gofumpt", "prettier", "black", "ruff", "rustfmt", "clang-format":
		return usually{operands: nothing}, true
	}
	return usually{}, false
}

func (r *shell) usual(u usually, args []word) {
	_, operands := options(args, u.valued)
	operands = operands[min(u.skip, len(operands)):]
	for i, a := range operands {
		how := u.operands
		if u.last != nothing && i == len(operands)-1 && i > 0 {
			how = u.last
		}
		if how != nothing {
			r.file(a, how)
		}
	}
}

// option is one option of a command line; of a cluster (-rf) all letters are in name.
type option struct {
	name  string // without the leading hyphens
	long  bool
	value word
}

// options splits arguments as getopt_long does. valued lists the options that take a value.
func options(args []word, valued string) (opts []option, operands []word) {
	takes := func(name string) bool {
		return name != "" && strings.Contains(" "+valued+" ", " "+name+" ")
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a.text == "--" && !a.dynamic:
			return opts, append(operands, args[i+1:]...)
		case strings.HasPrefix(a.text, "--"):
			name, value, has := strings.Cut(a.text[2:], "=")
			o := option{name: name, long: true, value: word{text: value, dynamic: a.dynamic}}
			if !has && takes(name) && i+1 < len(args) {
				i++
				o.value = args[i]
			}
			opts = append(opts, o)
		case len(a.text) > 1 && a.text[0] == '-':
			name := a.text[1:]
			o := option{name: name}
			if at := strings.IndexFunc(name, func(c rune) bool { return takes(string(c)) }); at >= 0 {
				o.name = name[:at+1]
				if o.value = (word{text: name[at+1:], dynamic: a.dynamic}); o.value.text == "" && !a.dynamic && i+1 < len(args) {
					i++
					o.value = args[i]
				}
			}
			opts = append(opts, o)
		default:
			operands = append(operands, a)
		}
	}
	return opts, operands
}

// has says whether one of the letters is set in a cluster, or one of the long names (or an
// unambiguous beginning of it, as getopt_long allows) is given.
func has(opts []option, letters string, long ...string) bool {
	for _, o := range opts {
		if !o.long && strings.ContainsAny(o.name, letters) {
			return true
		}
		for _, name := range long {
			if o.name == name || o.long && len(o.name) > 3 && strings.HasPrefix(name, o.name) {
				return true
			}
		}
	}
	return false
}

// value returns the value of an option.
func value(opts []option, names ...string) (word, bool) {
	for _, o := range opts {
		for _, name := range names {
			if o.name == name || !o.long && len(name) == 1 && strings.HasSuffix(o.name, name) {
				return o.value, true
			}
		}
	}
	return word{}, false
}
