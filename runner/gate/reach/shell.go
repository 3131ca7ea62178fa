package reach

import (
	"maps"
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

const (
	maxText     = 64 << 10
	maxDepth    = 64
	maxCommands = 4096
	maxVars     = 64
)

// readShell adds what a bash command would do, as far as its text says, run in dir.
func readShell(g *gather, text, dir string) {
	// The parser is foreign code and the text may be made to break it. What was read so far counts.
	defer func() {
		if recover() != nil {
			g.Opaque = true
		}
	}()
	r := &shell{gather: g, dir: dir}
	r.read(text)
}

// shell reads one command and what it hands to other shells.
type shell struct {
	*gather
	dir      string // working directory, relative to the tree or absolute
	lost     bool   // dir is only where it may be
	maybe    int    // > 0: what is read may not run, or more than once, or elsewhere
	depth    int
	commands int
	vars     map[string]string // variables that certainly have this one value from here on
	funcs    map[string]bool   // functions that the text declares
}

// read parses text and reads its statements. Text that is no bash is opaque: bash runs a line
// before it has seen the next one, so whatever stands before the mistake may run.
func (r *shell) read(text string) {
	if len(text) > maxText {
		r.Opaque = true
		text = text[:maxText]
	}
	if cut := tooDeep(text); cut >= 0 {
		r.Opaque = true
		text = text[:cut]
	}
	var stmts []*syntax.Stmt
	parser := syntax.NewParser(syntax.Variant(syntax.LangBash))
	for stmt, err := range parser.StmtsSeq(strings.NewReader(text)) {
		if err != nil { // and no break: the sequence goes on calling after it has given an error
			r.Opaque = true
			continue
		}
		stmts = append(stmts, stmt)
	}
	before := r.vars
	r.vars = constants(stmts)
	r.stmts(stmts)
	r.vars = before
}

// tooDeep finds where more brackets are open than a command that somebody means has, −1 if nowhere.
// It does not know quotes: the parser, which does, recurses for each.
func tooDeep(text string) int {
	open := 0
	for i := range len(text) {
		switch text[i] {
		case '(', '{':
			open++
		case ')', '}':
			open = max(open-1, 0)
		}
		if open > 4*maxDepth {
			return i
		}
	}
	return -1
}

// constants finds the variables to which the text gives a value at most once; only those are
// followed. Where something may set variables unseen, none is.
func constants(stmts []*syntax.Stmt) map[string]string {
	count := map[string]int{}
	unseen := false
	for _, stmt := range stmts {
		syntax.Walk(stmt, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.Assign:
				if n.Name != nil {
					count[n.Name.Value]++
				}
			case *syntax.WordIter:
				count[n.Name.Value] += 2
			case *syntax.ArithmExp, *syntax.ArithmCmd, *syntax.LetClause, *syntax.FuncDecl:
				unseen = true
			case *syntax.CallExpr:
				unseen = unseen || len(n.Args) > 0 && setsVariables(n.Args[0].Lit())
			}
			return true
		})
	}
	vars := map[string]string{}
	for name, n := range count {
		if n == 1 && !unseen && len(count) <= maxVars {
			vars[name] = "" // to be known once the assignment is read
		}
	}
	return vars
}

func setsVariables(program string) bool {
	switch program {
	case "read", "mapfile", "readarray", "printf", "getopts", "eval", "source", ".", "unset", "wait", "builtin", "command", "":
		return true
	}
	return false
}

func (r *shell) stmts(list []*syntax.Stmt) {
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > maxDepth {
		r.Opaque = true
		return
	}
	for _, s := range list {
		r.stmt(s)
	}
}

func (r *shell) stmt(s *syntax.Stmt) {
	if s == nil {
		return
	}
	if s.Background || s.Coprocess {
		r.apart(func() { r.command(s) })
		return
	}
	r.command(s)
}

// apart reads what runs in a process of its own: it does not move the working directory.
func (r *shell) apart(read func()) {
	dir, lost, vars := r.dir, r.lost, maps.Clone(r.vars)
	read()
	r.dir, r.lost, r.vars = dir, lost, vars
}

// perhaps reads what may run or not.
func (r *shell) perhaps(read func()) {
	r.maybe++
	read()
	r.maybe--
}

func (r *shell) command(s *syntax.Stmt) {
	for _, redirect := range s.Redirs {
		r.redirect(redirect)
	}
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		r.call(c, s.Redirs)
	case *syntax.BinaryCmd:
		r.binary(c)
	case *syntax.Subshell:
		r.apart(func() { r.stmts(c.Stmts) })
	case *syntax.Block:
		r.stmts(c.Stmts)
	case *syntax.TimeClause:
		r.stmt(c.Stmt)
	case *syntax.CoprocClause:
		r.apart(func() { r.stmt(c.Stmt) })
	case *syntax.FuncDecl:
		if r.funcs == nil {
			r.funcs = map[string]bool{}
		}
		r.funcs[c.Name.Value] = true
		r.perhaps(func() { r.stmts([]*syntax.Stmt{c.Body}) })
	case nil:
	default:
		r.compound(c)
	}
}

func (r *shell) binary(c *syntax.BinaryCmd) {
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > maxDepth*8 { // a long list of && is deep only in the tree
		r.Opaque = true
		return
	}
	switch c.Op {
	case syntax.Pipe, syntax.PipeAll:
		r.apart(func() { r.stmt(c.X) })
		r.apart(func() { r.stmt(c.Y) })
		if call, ok := c.Y.Cmd.(*syntax.CallExpr); ok {
			r.pipedInto(call)
		}
	case syntax.OrStmt:
		r.stmt(c.X)
		r.perhaps(func() { r.stmt(c.Y) })
	default:
		r.stmt(c.X)
		r.stmt(c.Y)
	}
}

// compound reads if, while, for, case, [[ ]], declarations and arithmetic: every statement and
// every substitution within them may run.
func (r *shell) compound(c syntax.Node) {
	r.perhaps(func() {
		syntax.Walk(c, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.Stmt:
				r.stmts([]*syntax.Stmt{n})
				return false
			case *syntax.CmdSubst:
				r.apart(func() { r.stmts(n.Stmts) })
				return false
			case *syntax.ProcSubst:
				r.apart(func() { r.stmts(n.Stmts) })
				return false
			}
			return true
		})
	})
	if d, ok := c.(*syntax.DeclClause); ok {
		r.follow(d.Args, false)
	}
}

// substitutions reads the commands inside words.
func (r *shell) substitutions(n syntax.Node) {
	if w, ok := n.(*syntax.Word); ok && w.Lit() != "" {
		return
	}
	r.compound(n)
}

func (r *shell) call(c *syntax.CallExpr, redirects []*syntax.Redirect) {
	if r.commands++; r.commands > maxCommands {
		r.Opaque = true
		return
	}
	r.assigns(c.Assigns, len(c.Args) > 0)
	args := make([]word, 0, len(c.Args))
	for _, w := range c.Args {
		r.substitutions(w)
		args = append(args, r.word(w))
	}
	if len(args) == 0 {
		return
	}
	r.run(args)
	if isShell(path.Base(args[0].text)) {
		r.hereDocument(redirects)
	}
}

// assigns reads NAME=value. One before a command (only) is the command's own.
func (r *shell) assigns(list []*syntax.Assign, only bool) {
	for _, a := range list {
		if a.Array != nil {
			r.substitutions(a.Array)
		}
		if a.Value != nil {
			r.substitutions(a.Value)
		}
	}
	r.follow(list, only)
}

// follow remembers what variables are set to. The substitutions in the values have been read.
func (r *shell) follow(list []*syntax.Assign, only bool) {
	for _, a := range list {
		if a.Value == nil || a.Name == nil {
			continue
		}
		name, value := a.Name.Value, r.word(a.Value)
		if runsItsValue(name) {
			r.Opaque = true
		}
		if _, once := r.vars[name]; !once {
			continue
		}
		if only || value.dynamic || value.text == "" || a.Append || a.Index != nil || r.maybe > 0 {
			delete(r.vars, name)
			continue
		}
		r.vars[name] = value.text
	}
}

// runsItsValue names variables whose value some program runs, or that change what a name runs.
func runsItsValue(name string) bool {
	switch name {
	case "PATH", "BASH_ENV", "ENV", "PROMPT_COMMAND", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "IFS", "PS4",
		"GIT_SSH_COMMAND", "GIT_SSH", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_EDITOR", "GIT_ASKPASS", "PYTHONSTARTUP",
		"NODE_OPTIONS", "PERL5OPT", "RUBYOPT":
		return true
	}
	return false
}

func (r *shell) redirect(d *syntax.Redirect) {
	if d.Word != nil {
		r.substitutions(d.Word)
	}
	if d.Hdoc != nil {
		r.substitutions(d.Hdoc)
	}
	switch d.Op {
	case syntax.RdrIn:
		r.file(r.word(d.Word), reads)
	case syntax.RdrOut, syntax.AppOut, syntax.RdrClob, syntax.RdrAll, syntax.AppAll, syntax.RdrInOut,
		syntax.AppClob, syntax.RdrAllClob, syntax.AppAllClob:
		r.file(r.word(d.Word), writes)
	case syntax.DplOut:
		if w := r.word(d.Word); !isDescriptor(w.text) || w.dynamic {
			r.file(w, writes) // >&FILE is an old spelling of &>FILE
		}
	}
}

func isDescriptor(s string) bool {
	return s != "" && strings.Trim(s, "0123456789-") == ""
}

// hereDocument reads the text that a shell gets on its standard input.
func (r *shell) hereDocument(redirects []*syntax.Redirect) {
	for _, d := range redirects {
		body := d.Hdoc
		if d.Op == syntax.WordHdoc {
			body = d.Word
		}
		switch {
		case body != nil:
			if w := r.word(body); !w.dynamic {
				r.inner(w.text)
			} else {
				r.Opaque = true
			}
		case d.Op == syntax.RdrIn, d.Op == syntax.DplIn:
			r.Opaque = true
		}
	}
}

// inner reads text that is itself run by a shell.
func (r *shell) inner(text string) {
	r.depth += 8
	defer func() { r.depth -= 8 }()
	if r.depth > maxDepth {
		r.Opaque = true
		return
	}
	r.apart(func() { r.perhaps(func() { r.read(text) }) })
}

// pipedInto marks a pipe whose end runs what comes through it.
func (r *shell) pipedInto(c *syntax.CallExpr) {
	if len(c.Args) == 0 {
		return
	}
	args := make([]word, 0, len(c.Args))
	for _, w := range c.Args {
		args = append(args, r.word(w))
	}
	args = unwrapped(args)
	if len(args) == 0 {
		r.Opaque = true
		return
	}
	name := path.Base(args[0].text)
	if (isShell(name) || isInterpreter(name)) && readsStandardInput(args[1:]) {
		r.Opaque = true
	}
}

// readsStandardInput says whether a shell or interpreter with these arguments runs its input:
// it has no operand, or is told so (-s, -).
func readsStandardInput(args []word) bool {
	for i, a := range args {
		switch {
		case a.text == "-" || a.text == "-s" || a.text == "/dev/stdin":
			return true
		case a.text == "-c" || a.text == "-e" || a.text == "-m":
			return false
		case !strings.HasPrefix(a.text, "-") && (i == 0 || args[i-1].text != "-o"):
			return false
		}
	}
	return true
}
