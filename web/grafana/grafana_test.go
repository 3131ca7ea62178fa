package grafana_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/web/grafana"
)

var update = flag.Bool("update", false, "write dashboards/*.json again")

// The committed JSON is what the code makes, and nothing else lies beside it.
func TestDashboardsAreWritten(t *testing.T) {
	t.Parallel()
	var names []string
	for name, d := range grafana.All() {
		names = append(names, name)
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("dashboards", name)
		if *update {
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(stored), string(text)); diff != "" {
			t.Errorf("%s is not what the code makes (go test ./web/grafana -update):\n%s", file, diff)
		}
	}
	files, err := os.ReadDir("dashboards")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(names, f.Name()) {
			t.Errorf("dashboards/%s is made by nothing", f.Name())
		}
	}
}

// model is the part of a dashboard that Grafana would stumble over if it were wrong.
type model struct {
	UID, Title string
	Templating struct {
		List []struct{ Name, Query string }
	}
	Panels []struct {
		ID         int
		Title      string
		Datasource struct{ Type, UID string }
		GridPos    struct{ X, Y, W, H int }
		Targets    []target
	}
}

type target struct {
	RefID, RawSQL, QueryType, EditorType string
	Datasource                           struct{ Type, UID string }
}

func read(t *testing.T) map[string]model {
	t.Helper()
	all := map[string]model{}
	for name, d := range grafana.All() {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var m model
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		all[name] = m
	}
	return all
}

func TestDashboardsAreSound(t *testing.T) {
	t.Parallel()
	uids := map[string]string{}
	for name, m := range read(t) {
		if other, twice := uids[m.UID]; twice || m.UID == "" {
			t.Errorf("%s and %s have the uid %q", name, other, m.UID)
		}
		uids[m.UID] = name
		ids := map[int]bool{}
		var text strings.Builder
		for i, p := range m.Panels {
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: panel %q has the id %d, which another has", name, p.Title, p.ID)
			}
			ids[p.ID] = true
			if p.GridPos.X < 0 || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W <= 0 || p.GridPos.H <= 0 {
				t.Errorf("%s: panel %q leaves the grid: %+v", name, p.Title, p.GridPos)
			}
			for _, q := range m.Panels[:i] {
				a, b := p.GridPos, q.GridPos
				if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s: panels %q and %q overlap", name, p.Title, q.Title)
				}
			}
			if len(p.Targets) == 0 {
				t.Errorf("%s: panel %q asks for nothing", name, p.Title)
			}
			for _, q := range p.Targets {
				if q.Datasource != p.Datasource || p.Datasource.UID != grafana.ClickHouse || q.EditorType != "sql" {
					t.Errorf("%s: panel %q, query %s: %+v", name, p.Title, q.RefID, q)
				}
				text.WriteString(q.RawSQL)
			}
		}
		for _, v := range m.Templating.List {
			if !strings.Contains(text.String(), "${"+v.Name+":") {
				t.Errorf("%s: no panel uses the variable %s", name, v.Name)
			}
			text.WriteString(v.Query)
		}
		known := func(name string) bool {
			return slices.ContainsFunc(m.Templating.List, func(v struct{ Name, Query string }) bool { return v.Name == name })
		}
		for _, used := range regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(text.String(), -1) {
			if !known(used[1]) {
				t.Errorf("%s: the variable %s is used, but there is none", name, used[1])
			}
		}
	}
}
