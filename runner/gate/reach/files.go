package reach

import (
	"path"
	"strings"
)

// files reads programs that change files in ways a policy cares about.
func (r *shell) files(name string, args []word) bool {
	switch name {
	case "rm", "shred":
		r.remove(name, args)
	case "find", "fd":
		r.find(args)
	case "mv":
		r.move(args)
	case "cp":
		r.copyFiles(args)
	case "sed":
		r.sed(args)
	case "dd":
		r.dd(args)
	case "truncate":
		r.Destructive = true
		r.usual(usually{valued: "s r size reference", operands: writes}, args)
	case "chmod", "chown", "chgrp", "chattr", "setfacl":
		r.mode(name, args)
	case "tar", "bsdtar":
		r.tar(args)
	case "unzip", "patch", "ed", "ex", "cpio", "7z":
		_, operands := options(args, "d p i directory strip input x")
		for _, a := range operands {
			r.file(a, reads)
		}
		r.Unresolved = true // which files it writes stands in the file it reads
	case "awk", "gawk", "mawk":
		r.awk(args)
	default:
		return false
	}
	return true
}

func (r *shell) remove(name string, args []word) {
	opts, operands := options(args, "n s iterations size")
	how := deletes
	if has(opts, "rR", "recursive") {
		how = deletesAll
	}
	if name == "shred" {
		r.Destructive = true
	}
	for _, a := range operands {
		if how == deletesAll && a.dynamic {
			r.RecursiveDelete = true
			if a.text == "" || strings.Trim(a.text, "/.") == "" {
				r.Destructive = true // rm -rf "$X"/…: an empty X is the root
			}
		}
		r.file(a, how)
		r.Destructive = r.Destructive || r.DeletesTree
	}
}

// find reads what -exec runs and -delete removes below its starting points.
func (r *shell) find(args []word) {
	starts := args
	for i, a := range args {
		if strings.HasPrefix(a.text, "-") || a.text == "(" || a.text == "!" {
			starts = args[:i]
			break
		}
	}
	if len(starts) == 0 {
		starts = []word{{text: "."}}
	}
	how, filtered := reads, false
	for i, a := range args {
		switch a.text {
		case "-delete":
			how = deletesAll
		case "-exec", "-execdir", "-ok", "-okdir":
			r.findExec(args[i+1:])
		case "-fprint", "-fprint0", "-fprintf", "-fls":
			if i+1 < len(args) {
				r.file(args[i+1], writes)
			}
		case "-name", "-iname", "-path", "-ipath", "-regex", "-type", "-mtime", "-newer", "-size", "-empty", "-mmin", "-perm":
			filtered = filtered || a.text != "-type" && !strings.HasPrefix(a.text, "-m")
		}
	}
	for _, s := range starts {
		if how == deletesAll && filtered {
			// Some of what is below: the names are known when it runs.
			r.Unresolved, r.RecursiveDelete = true, true
			r.file(s, reads)
			continue
		}
		r.file(s, how)
	}
}

// findExec reads the command up to ; or +, its {} known only when it runs.
func (r *shell) findExec(args []word) {
	var inner []word
	for _, a := range args {
		if a.text == ";" || a.text == "+" {
			break
		}
		if strings.Contains(a.text, "{}") {
			a = word{dynamic: true}
		}
		inner = append(inner, a)
	}
	if len(inner) > 0 {
		r.run(inner)
	}
}

func (r *shell) move(args []word) {
	opts, operands := options(args, "t S target-directory suffix")
	to, ok := value(opts, "t", "target-directory")
	if ok {
		r.file(to, writes)
	}
	for i, a := range operands {
		if !ok && i == len(operands)-1 && i > 0 {
			r.file(a, writes)
			continue
		}
		r.file(a, deletes)
	}
}

func (r *shell) copyFiles(args []word) {
	opts, operands := options(args, "t S target-directory suffix")
	if to, ok := value(opts, "t", "target-directory"); ok {
		r.file(to, writes)
		r.usual(usually{operands: reads}, operands)
		return
	}
	r.usual(usually{operands: reads, last: writes}, operands)
}

func (r *shell) sed(args []word) {
	opts, operands := options(args, "e f l expression file")
	scripted := false
	for _, o := range opts {
		if strings.HasSuffix(o.name, "e") || o.name == "f" || o.name == "expression" || o.name == "file" {
			scripted = true
			r.sedScript(o.value)
		}
	}
	if !scripted && len(operands) > 0 {
		r.sedScript(operands[0])
		operands = operands[1:]
	}
	how := reads
	if has(opts, "i", "in-place") {
		how = writes
	}
	for _, a := range operands {
		r.file(a, how)
	}
}

// sedScript marks GNU sed's ways to run a program (the e flag and command) and to write files.
func (r *shell) sedScript(w word) {
	flags := w.text[strings.LastIndexAny(w.text, "/|#,")+1:]
	if strings.Trim(flags, "gpimIMe0123456789") == "" && strings.Contains(flags, "e") || strings.HasPrefix(w.text, "1e ") || strings.HasPrefix(w.text, "e ") {
		r.Opaque = true
	}
	if strings.Contains(flags, "w ") {
		r.Unresolved = true
	}
}

func (r *shell) dd(args []word) {
	for _, a := range args {
		key, path, _ := strings.Cut(a.text, "=")
		switch key {
		case "if":
			r.file(word{text: path, dynamic: a.dynamic}, reads)
		case "of":
			r.file(word{text: path, dynamic: a.dynamic}, writes)
		}
	}
}

func (r *shell) mode(name string, args []word) {
	opts, operands := options(args, "")
	if name == "chmod" && len(operands) > 0 && setsUserID(operands[0].text) {
		r.Escalates = true
	}
	if has(opts, "R", "recursive") && len(operands) > 1 {
		for _, a := range operands[1:] {
			r.Destructive = r.Destructive || r.tree.Locate(r.dir, a.text, true).Where == Outside
		}
	}
	r.usual(usually{skip: 1, operands: writes}, operands)
}

// setsUserID knows u+s, g+s and modes of four digits from 2000 on.
func setsUserID(mode string) bool {
	return len(mode) == 4 && mode[0] >= '2' && mode[0] <= '7' || strings.Contains(mode, "+s") || strings.Contains(mode, "=s")
}

func (r *shell) tar(args []word) {
	if len(args) > 0 && !strings.HasPrefix(args[0].text, "-") && !args[0].dynamic {
		args = append([]word{{text: "-" + args[0].text}}, args[1:]...)
	}
	opts, operands := options(args, "f C T X file directory files-from exclude to-command use-compress-program I checkpoint-action")
	creates := has(opts, "cru", "create", "append", "update")
	if file, ok := value(opts, "f", "file"); ok {
		how := reads
		if creates {
			how = writes
		}
		r.file(file, how)
	}
	if has(opts, "", "to-command", "use-compress-program", "checkpoint-action") {
		r.Opaque = true
	}
	if creates {
		for _, a := range operands {
			r.file(a, reads)
		}
		return
	}
	if has(opts, "x", "extract", "get") {
		dir, ok := value(opts, "C", "directory")
		if !ok {
			dir = word{text: "."}
		}
		r.Unresolved = true // which files it writes stands in the archive
		r.file(dir, writes)
	}
}

// awk marks programs that run others or write files.
func (r *shell) awk(args []word) {
	opts, operands := options(args, "v F f")
	if _, file := value(opts, "f"); !file && len(operands) > 0 {
		text := operands[0].text
		if operands[0].dynamic || strings.Contains(text, "system") || strings.Contains(text, "getline") || strings.Contains(text, "|") {
			r.Opaque = true
		}
		if strings.Contains(text, "print") && strings.Contains(text, ">") {
			r.Unresolved = true
		}
		operands = operands[1:]
	}
	for _, a := range operands {
		if !strings.Contains(path.Base(a.text), "=") {
			r.file(a, reads)
		}
	}
}
