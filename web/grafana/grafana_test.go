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
	UID, Title, Description string
	Templating              struct{ List []variable }
	Panels                  []panel
}

type variable struct {
	Name, Type, Label, Description string
	Query                          string
	Datasource                     struct{ Type, UID string }
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ Type, UID string }
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []target
	FieldConfig              struct {
		Defaults  struct{ Unit, DisplayName string }
		Overrides []struct {
			Matcher    struct{ ID, Options string }
			Properties []struct {
				ID    string
				Value any
			}
		}
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
	uids, titles := map[string]bool{}, map[string]bool{}
	for name, m := range read(t) {
		t.Run(name, func(t *testing.T) {
			if uids[m.UID] || titles[m.Title] || m.UID == "" || len(m.UID) > 40 || m.Title == "" || m.Description == "" {
				t.Errorf("uid %q and title %q: missing, too long, or another has them; description %q", m.UID, m.Title, m.Description)
			}
			uids[m.UID], titles[m.Title] = true, true
			ids := map[int]bool{}
			for i, p := range m.Panels {
				if ids[p.ID] || p.ID == 0 {
					t.Errorf("panel %q has the id %d, which another has", p.Title, p.ID)
				}
				ids[p.ID] = true
				fits(t, p, m.Panels[:i])
				if p.Type != "row" {
					shows(t, p)
				}
			}
			variables(t, m)
		})
	}
}

// fits: the panel lies on the grid, and on no other.
func fits(t *testing.T, p panel, before []panel) {
	t.Helper()
	a := p.GridPos
	if a.X < 0 || a.X+a.W > 24 || a.W <= 0 || a.H <= 0 {
		t.Errorf("panel %q leaves the grid: %+v", p.Title, a)
	}
	for _, q := range before {
		b := q.GridPos
		if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
			t.Errorf("panels %q and %q overlap", p.Title, q.Title)
		}
	}
}

// shows: the panel says what it is, in which unit, and asks the data source that is provisioned.
func shows(t *testing.T, p panel) {
	t.Helper()
	if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("panel %d: title %q, description %q, unit %q", p.ID, p.Title, p.Description, p.FieldConfig.Defaults.Unit)
	}
	if len(p.Targets) == 0 {
		t.Errorf("panel %q asks for nothing", p.Title)
	}
	refs := map[string]bool{}
	for _, q := range p.Targets {
		if q.Datasource != p.Datasource || p.Datasource.UID != grafana.ClickHouse || q.EditorType != "sql" || q.RefID == "" || refs[q.RefID] {
			t.Errorf("panel %q, query %s: %+v", p.Title, q.RefID, q)
		}
		refs[q.RefID] = true
		if (p.Type == "timeseries") != (q.QueryType == "timeSeries") {
			t.Errorf("panel %q is a %s, and its query %s a %s", p.Title, p.Type, q.RefID, q.QueryType)
		}
	}
	for _, o := range p.FieldConfig.Overrides {
		if o.Matcher.ID != "byName" || !regexp.MustCompile(` AS `+o.Matcher.Options+`\b|SELECT `+o.Matcher.Options+`,`).MatchString(p.Targets[0].RawSQL) {
			t.Errorf("panel %q: no column is called %q", p.Title, o.Matcher.Options)
		}
	}
}

// variables: each is used, by a panel or a variable after it, and what is used is there.
func variables(t *testing.T, m model) {
	t.Helper()
	text, err := json.Marshal(m.Panels)
	if err != nil {
		t.Fatal(err)
	}
	uses := string(text)
	for _, v := range slices.Backward(m.Templating.List) {
		if !strings.Contains(uses, "${"+v.Name+":") {
			t.Errorf("nothing uses the variable %s", v.Name)
		}
		if v.Label == "" || v.Description == "" {
			t.Errorf("variable %s: label %q, description %q", v.Name, v.Label, v.Description)
		}
		if v.Type == "query" && v.Datasource.UID != grafana.ClickHouse {
			t.Errorf("variable %s asks the data source %q", v.Name, v.Datasource.UID)
		}
		uses += v.Query
	}
	for _, used := range regexp.MustCompile(`\$\{?([a-z]\w*)`).FindAllStringSubmatch(uses, -1) {
		if !slices.ContainsFunc(m.Templating.List, func(v variable) bool { return v.Name == used[1] }) {
			t.Errorf("the variable %s is used, but there is none", used[1])
		}
	}
}

// A link to a run is an address that our pages have.
func TestLinksToRuns(t *testing.T) {
	t.Parallel()
	app, err := os.ReadFile("../ui/src/App.tsx")
	if err != nil {
		t.Fatal(err)
	}
	routes := []*regexp.Regexp{}
	for _, r := range regexp.MustCompile(`path="(runs/[^"]*)"`).FindAllStringSubmatch(string(app), -1) {
		routes = append(routes, regexp.MustCompile("^/"+regexp.MustCompile(`:\w+`).ReplaceAllString(r[1], `[^/?]+`)+`(\?.*)?$`))
	}
	links := 0
	for name, m := range read(t) {
		for _, p := range m.Panels {
			for _, o := range p.FieldConfig.Overrides {
				for _, property := range o.Properties {
					if property.ID != "links" {
						continue
					}
					links++
					text, _ := json.Marshal(property.Value)
					var found []struct{ Title, URL string }
					if err := json.Unmarshal(text, &found); err != nil {
						t.Fatal(err)
					}
					path, ok := strings.CutPrefix(found[0].URL, "${tacho:raw}")
					if !ok || !slices.ContainsFunc(routes, func(r *regexp.Regexp) bool { return r.MatchString(path) }) {
						t.Errorf("%s, panel %q: the link %q leads to no page", name, p.Title, found[0].URL)
					}
				}
			}
		}
	}
	if links < 4 {
		t.Errorf("%d links", links)
	}
}
