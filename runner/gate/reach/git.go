package reach

import "strings"

// git reads the subcommand. What Git does to .git itself is not touching it: that is its business.
func (r *shell) git(args []word) {
	sub, rest := r.gitGlobals(args)
	if sub.dynamic {
		r.Opaque = true
		return
	}
	opts, operands := options(rest, "m F C c b B o u t depth branch message reason author date onto strategy S")
	switch sub.text {
	case "push":
		r.gitPush(opts, operands)
	case "fetch", "pull", "clone", "ls-remote", "submodule", "remote", "archive":
		r.gitRemote(sub.text, operands)
	case "commit":
		r.RewritesHistory = r.RewritesHistory || has(opts, "", "amend")
	case "rebase", "cherry-pick", "revert", "am":
		r.RewritesHistory = r.RewritesHistory || sub.text == "rebase"
		if _, ok := value(opts, "x", "exec"); ok {
			r.Opaque = true
		}
	case "reset":
		r.Destructive = r.Destructive || has(opts, "", "hard")
		r.RewritesHistory = r.RewritesHistory || len(operands) > 0 && gitRevision(operands[0].text)
	case "clean":
		if has(opts, "f", "force") && !has(opts, "n", "dry-run") {
			r.Destructive = true
		}
	case "filter-branch", "filter-repo", "replace":
		r.RewritesHistory, r.DestroysHistory, r.Opaque = true, true, r.Opaque || sub.text == "filter-branch"
	case "reflog":
		r.DestroysHistory = r.DestroysHistory || len(operands) > 0 && (operands[0].text == "expire" || operands[0].text == "delete")
	case "gc", "prune":
		prune, _ := value(opts, "prune")
		r.DestroysHistory = r.DestroysHistory || sub.text == "prune" || prune.text == "now" || prune.text == "all"
	case "update-ref":
		r.DestroysHistory = r.DestroysHistory || has(opts, "d", "stdin")
	case "branch", "tag", "stash":
		r.gitDrops(sub.text, rest)
	case "rm", "mv":
		r.usual(usually{operands: deletes}, rest)
	case "config":
		r.gitConfig(operands)
	case "bisect":
		if len(operands) > 1 && operands[0].text == "run" {
			r.run(rest[1:])
		}
	}
}

// gitGlobals takes the options before the subcommand off.
func (r *shell) gitGlobals(args []word) (sub word, rest []word) {
	for len(args) > 0 {
		text := args[0].text
		switch {
		case args[0].dynamic:
			return args[0], nil
		case text == "-c" || text == "--config-env":
			if len(args) > 1 {
				r.gitConfig([]word{{text: strings.Replace(args[1].text, "=", " ", 1)}, {text: "x"}})
			}
			args = args[min(2, len(args)):]
		case text == "-C" || text == "--git-dir" || text == "--work-tree" || text == "--namespace":
			if len(args) > 1 {
				r.file(args[1], reads)
			}
			args = args[min(2, len(args)):]
		case strings.HasPrefix(text, "-"):
			args = args[1:]
		default:
			return args[0], args[1:]
		}
	}
	return word{}, nil
}

// gitConfig marks settings whose value Git runs: aliases, hooks, drivers, helpers, pagers.
func (r *shell) gitConfig(operands []word) {
	if len(operands) < 2 {
		return
	}
	key := strings.ToLower(operands[0].text)
	for _, runs := range []string{"alias.", "core.hookspath", "core.sshcommand", "core.editor", "core.pager", "core.fsmonitor",
		"core.askpass", "credential.", "filter.", "diff.", "merge.", "gpg.", "sequence.editor", "pager.", "uploadpack.", "url."} {
		if strings.HasPrefix(key, runs) {
			r.Opaque = true
		}
	}
}

func (r *shell) gitPush(opts []option, operands []word) {
	r.Publishes = true
	force := has(opts, "fd", "force", "force-with-lease", "force-if-includes", "mirror", "delete", "prune")
	for i, a := range operands {
		if i > 0 && !a.dynamic && (strings.HasPrefix(a.text, "+") || strings.HasPrefix(a.text, ":")) {
			force = true
		}
	}
	if force {
		r.RewritesHistory, r.DestroysHistory = true, true
	}
	r.gitURL(operands)
}

func (r *shell) gitRemote(sub string, operands []word) {
	switch sub {
	case "clone":
		if len(operands) > 1 {
			r.file(operands[1], writes)
		}
		r.InstallsPackages = true
	case "submodule":
		r.UsesNetwork = r.UsesNetwork || len(operands) > 0 && (operands[0].text == "update" || operands[0].text == "add")
	}
	r.gitURL(operands)
}

// gitURL adds the host of the first operand that is a URL. The name of a remote says nothing: it
// may be a directory.
func (r *shell) gitURL(operands []word) {
	for _, a := range operands {
		if host, ok := remoteHost(a.text); ok && !strings.HasPrefix(a.text, ":") && (strings.Contains(a.text, "://") || strings.Contains(a.text, "@") || strings.Contains(host, ".")) {
			r.hosts([]word{{text: host}})
			return
		}
		if strings.HasPrefix(a.text, "ext::") {
			r.Opaque = true
		}
	}
}

// gitDrops reads what lets go of commits that nothing else names.
func (r *shell) gitDrops(sub string, rest []word) {
	opts, operands := options(rest, "")
	switch sub {
	case "branch":
		r.RewritesHistory = r.RewritesHistory || has(opts, "DfM") || has(opts, "", "force") && has(opts, "dm", "delete", "move")
	case "tag":
		r.RewritesHistory = r.RewritesHistory || has(opts, "df", "delete", "force")
	case "stash":
		r.Destructive = r.Destructive || len(operands) > 0 && (operands[0].text == "drop" || operands[0].text == "clear")
	}
}

// gitRevision says whether an operand of reset names an older commit (and not a file).
func gitRevision(s string) bool {
	return strings.ContainsAny(s, "~^@") || strings.HasPrefix(s, "origin/") || len(s) >= 7 && strings.Trim(s, "0123456789abcdef") == ""
}
