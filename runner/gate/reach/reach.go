package reach

import (
	"slices"
	"strings"
)

// Claim is what a tool says that a call would touch, as its arguments spell it.
type Claim struct {
	Read, Write, Delete []string // paths, relative to Dir or absolute
	Hosts               []string // hosts or URLs
	Command             string   // bash, "" if the call runs none
	Dir                 string   // working directory, relative to the tree; "" is its top
}

// Reach is what a call would touch. Lists are sorted and without doubles. Paths of the tree are
// relative to it, others absolute.
type Reach struct {
	Read, Written, Deleted []string
	Hosts                  []string
	Programs               []string // names of the programs that a command runs, without directory
	Facts
}

// Facts are the questions that a policy asks about a call. A fact is true if something that was
// read says so; false says only that nothing did.
type Facts struct {
	TouchesGit       bool // writes or deletes below .git other than through git
	TouchesSecrets   bool // names a file that usually holds a secret
	OutsideTree      bool // names a path that is neither in the tree nor the agent's own
	WritesOutside    bool // … and would write or delete there
	RecursiveDelete  bool // deletes directories with all they hold, build output and the agent's own apart
	DeletesTree      bool // … and what they hold is the whole workspace, or more
	Destructive      bool // overwrites devices, wipes files, formats disks, ends processes it did not start
	RewritesHistory  bool // changes commits that exist (amend, rebase, force-push)
	DestroysHistory  bool // … so that Git itself cannot bring them back, here or at a remote
	Publishes        bool // pushes, uploads, releases or deploys
	InstallsPackages bool // brings in code of others
	UsesNetwork      bool // runs a program whose purpose is to reach another machine, or names a host
	ReachesPrivate   bool // … in the operator's own network
	ReachesMetadata  bool // … which is a cloud's metadata service
	Escalates        bool // asks for other rights than it has (sudo, su, mount, setcap)
	Opaque           bool // runs text that was not read: eval of a variable, a pipe into sh, code of another language
	Unresolved       bool // the name of a file or host is known only when it runs
}

// The bounds of the package comment.
const (
	maxPaths    = 512
	maxHosts    = 64
	maxPrograms = 128
)

// Reach reads a claim.
func (t Tree) Reach(c Claim) Reach {
	g := &gather{tree: t}
	for _, p := range c.Read {
		g.path(c.Dir, p, reads)
	}
	for _, p := range c.Write {
		g.path(c.Dir, p, writes)
	}
	for _, p := range c.Delete {
		g.path(c.Dir, p, deletes)
	}
	for _, h := range c.Hosts {
		g.host(h)
	}
	if c.Command != "" {
		readShell(g, c.Command, c.Dir)
	}
	return g.sorted()
}

// use is what is done to a path.
type use int

const (
	nothing use = iota
	reads
	writes
	deletes
	deletesAll // a directory and all it holds
)

// gather collects a reach.
type gather struct {
	tree Tree
	Reach
}

func (g *gather) path(dir, p string, how use) {
	place := g.tree.Locate(dir, p, how < deletes)
	changes := how >= writes
	switch place.Where {
	case Invalid:
		g.Unresolved = true
		return
	case Outside:
		g.OutsideTree = true
		g.WritesOutside = g.WritesOutside || changes
		_, above := below(g.tree.Mount, place.Path)
		if _, over := below(g.tree.Seen, place.Path); over {
			above = true
		}
		g.DeletesTree = g.DeletesTree || how == deletesAll && (above || place.Path == "/")
	case InTree:
		g.TouchesGit = g.TouchesGit || changes && gitPath(place.Path)
		g.DeletesTree = g.DeletesTree || how >= deletes && place.Path == "."
		g.DestroysHistory = g.DestroysHistory || how >= deletes && gitPath(place.Path) && !strings.HasSuffix(place.Path, ".lock")
	}
	if how == deletesAll && place.Where != Own && !buildDir(place.Path) {
		g.RecursiveDelete = true
	}
	g.TouchesSecrets = g.TouchesSecrets || secretPath(place.Path) || secretPath(p)
	list := &g.Read
	switch {
	case how >= deletes:
		list = &g.Deleted
	case changes:
		list = &g.Written
	}
	if len(*list) >= maxPaths {
		g.Unresolved = true
		return
	}
	*list = append(*list, place.Path)
}

func (g *gather) host(s string) {
	h, err := ReadHost(s)
	if err != nil {
		g.Unresolved, g.UsesNetwork = true, true
		return
	}
	if len(g.Hosts) >= maxHosts {
		g.Unresolved = true
		return
	}
	g.Hosts = append(g.Hosts, h.Name)
	switch h.Kind {
	case Loopback:
		return
	case Private:
		g.ReachesPrivate = true
	case Metadata:
		g.ReachesMetadata = true
	}
	g.UsesNetwork = true
}

func (g *gather) program(name string) {
	if slices.Contains(g.Programs, name) {
		return
	}
	if len(g.Programs) >= maxPrograms {
		g.Opaque = true
		return
	}
	g.Programs = append(g.Programs, name)
}

func (g *gather) sorted() Reach {
	for _, list := range []*[]string{&g.Read, &g.Written, &g.Deleted, &g.Hosts, &g.Programs} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return g.Reach
}
