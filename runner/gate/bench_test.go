package gate_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"

	"tachograph/runner/gate"
	"tachograph/runner/gate/reach"
	"tachograph/runner/tools"
)

// BenchmarkInput times the whole gate input (paths through the tree's links, the shell's parse,
// entities, Cedar) against bare cedar-go on a ready request with the same policies, interleaved.
func BenchmarkInput(b *testing.B) {
	dir := b.TempDir()
	for _, d := range []string{"internal/store/rows", "cmd/x"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	open, err := os.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer open.Close()
	tree := reach.Tree{Dir: open, Mount: "/home/user/project", Home: "/home/agent"}
	p, err := gate.NewPolicy("cautious.cedar", gate.Cautious())
	if err != nil {
		b.Fatal(err)
	}
	set, err := cedar.NewPolicySetFromBytes("cautious.cedar", []byte(gate.Cautious()))
	if err != nil {
		b.Fatal(err)
	}
	bare := cedar.Request{Principal: cedar.NewEntityUID("Agent", "r/"), Action: cedar.NewEntityUID("Action", "read"),
		Resource: cedar.NewEntityUID("Tool", "bash"), Context: bareContext()}
	for _, c := range []struct {
		name  string
		claim reach.Claim
	}{
		{"read", reach.Claim{Read: []string{"internal/store/rows/rows.go"}}},
		{"bash", reach.Claim{Command: "cd internal/store && go test ./... 2>&1 | tail -20"}},
		{"script", reach.Claim{Command: "set -e\nfor f in *.go; do\n  sed -i 's/a/b/' \"$f\"\ndone\nif ! go build ./... > /tmp/out 2>&1; then\n  grep -n error /tmp/out | head -5\n  git checkout -- internal/store\nfi\nmkdir -p out && cp -r cmd/x out/ && rm -rf out/tmp\n"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var whole, alone []time.Duration
			for b.Loop() {
				t0 := time.Now()
				in := gate.Input{Run: "0193f1c2-0000-7000-8000-000000000000", Agent: "/", Tool: "bash", Effect: "write", Scope: "workspace",
					Executes: c.claim.Command != "", Sandbox: 1, Time: t0, Reach: tree.Reach(c.claim)}
				if c.claim.Command == "" {
					in.Effect = "read"
				}
				if d := p.Decide(in); d.Verdict != gate.Allow {
					b.Fatalf("%+v", d)
				}
				t1 := time.Now()
				cedar.Authorize(set, cedar.EntityMap{}, bare)
				alone = append(alone, time.Since(t1))
				whole = append(whole, t1.Sub(t0))
			}
			report(b, "gate", whole)
			report(b, "cedar", alone)
			b.ReportMetric(float64(quantile(whole, 0.5))/float64(quantile(alone, 0.5)), "x-cedar-p50")
		})
	}
}

func report(b *testing.B, name string, d []time.Duration) {
	b.ReportMetric(float64(quantile(d, 0.5).Nanoseconds())/1e3, name+"-p50-us")
	b.ReportMetric(float64(quantile(d, 0.99).Nanoseconds())/1e3, name+"-p99-us")
}

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(int(q*float64(len(d))), len(d)-1)]
}

// bareContext is a context of the size that the schema has, with nothing in it.
func bareContext() cedar.Record {
	m := cedar.RecordMap{"scope": cedar.String("workspace"), "effect": cedar.String("read")}
	for _, name := range []cedar.String{"touchesGit", "touchesSecrets", "outsideTree", "writesOutside", "deletesTree", "destroysHistory",
		"escalates", "reachesMetadata"} {
		m[name] = cedar.False
	}
	return cedar.NewRecord(m)
}

// BenchmarkCall times what the gate adds to a tool call (proposal, decision, journal with its fsyncs,
// delta): a call through the gate against the same tool called directly, interleaved, each in a tree
// of 2,000 files of its own. No sandbox is in either.
func BenchmarkCall(b *testing.B) {
	files := map[string]string{}
	for i := range 2000 {
		files[fmt.Sprintf("dir%02d/sub%d/file%04d.txt", i%40, i%7, i)] = strings.Repeat(fmt.Sprintln("line", i), 40)
	}
	for _, c := range []struct {
		name string
		r    func(i int) gate.Request
	}{
		{"read", func(int) gate.Request {
			return request("/", 0, "read_file", map[string]any{"path": "dir03/sub3/file0003.txt"})
		}},
		{"write", func(i int) gate.Request {
			return request("/", 0, "write_file", map[string]any{"path": "dir03/sub3/file0003.txt", "content": fmt.Sprintln("text", i)})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := newLab(b, files, func(g *gate.Config) { g.Notify = nil })
			bare := filepath.Join(b.TempDir(), "bare")
			l.write(bare, files)
			root, err := os.OpenRoot(bare)
			if err != nil {
				b.Fatal(err)
			}
			defer root.Close()
			set, err := tools.New([]string{"filesystem"}, tools.Env{Root: root, Mount: mount})
			if err != nil {
				b.Fatal(err)
			}
			var through, direct, added []time.Duration
			for i := 0; b.Loop(); i++ {
				l.turn("/", 1)
				r := c.r(i)
				t0 := time.Now()
				end, err := l.gate.Do(b.Context(), r)
				t1 := time.Now()
				plan, planErr := set.Plan(r.Tool, r.Arguments)
				out, runErr := set.Run(b.Context(), plan, tools.Input{ID: "x"})
				t2 := time.Now()
				if err := errors.Join(err, planErr, runErr); err != nil || end.Status != "ok" || out.Status != "ok" {
					b.Fatal(err, end.Status, out.Status)
				}
				through, direct = append(through, t1.Sub(t0)), append(direct, t2.Sub(t1))
				added = append(added, t1.Sub(t0)-t2.Sub(t1))
			}
			report(b, "gate", through)
			report(b, "direct", direct)
			report(b, "added", added)
		})
	}
}
