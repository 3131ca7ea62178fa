package grafana_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"

	"tachograph/web/grafana"
)

func project(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../../compose.yaml"}, cli.WithWorkingDirectory("../.."), cli.WithEnv(nil))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("compose.yaml: %v", err)
	}
	return p
}

// Nothing can be started here: what compose.yaml names must at least exist, and fit together.
func TestCompose(t *testing.T) {
	t.Parallel()
	p := project(t)
	for _, name := range []string{"clickhouse", "pyroscope", "grafana", "tacho"} {
		s, ok := p.Services[name]
		if !ok {
			t.Fatalf("there is no service %s", name)
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("service %s mounts what is not there: %v", name, err)
				}
			} else if _, ok := p.Volumes[v.Source]; !ok {
				t.Errorf("service %s mounts the volume %q, which is not declared", name, v.Source)
			}
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("service %s publishes %s beyond this machine", name, port.Published)
			}
		}
	}
	build := p.Services["tacho"].Build
	if _, err := os.Stat(filepath.Join(build.Context, build.Dockerfile)); err != nil {
		t.Errorf("tacho's Dockerfile: %v", err)
	}
	users, err := os.ReadFile("../../.docker/clickhouse/grafana.xml")
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range read(t) {
		for _, panel := range m.Panels {
			for _, q := range panel.Targets {
				for _, table := range regexp.MustCompile(`FROM (system\.\w+)`).FindAllStringSubmatch(q.RawSQL, -1) {
					if !strings.Contains(string(users), "GRANT SELECT ON "+table[1]+"<") {
						t.Errorf("%s, panel %q reads %s, which compose.yaml's user grafana may not", name, panel.Title, table[1])
					}
				}
			}
		}
	}
	dsn := *p.Services["tacho"].Environment["TACHO_CLICKHOUSE"]
	password := *p.Services["clickhouse"].Environment["CLICKHOUSE_PASSWORD"]
	if !strings.Contains(dsn, ":"+password+"@") || !strings.HasSuffix(dsn, "/"+*p.Services["clickhouse"].Environment["CLICKHOUSE_DB"]) {
		t.Errorf("tacho's DSN %s does not fit ClickHouse's environment", dsn)
	}
}

// The data sources that dashboards name are provisioned, and reach services that exist.
func TestProvisioning(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("provisioning/datasources/tachograph.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Datasources []struct {
			UID, Type, URL string
			JSONData       struct{ Host string }
			SecureJSONData struct{ Password string }
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	p := project(t)
	found := map[string]bool{}
	for _, d := range file.Datasources {
		found[d.UID] = true
		host := d.JSONData.Host
		if d.URL != "" {
			host, _, _ = strings.Cut(strings.TrimPrefix(d.URL, "http://"), ":")
		}
		if _, ok := p.Services[host]; !ok {
			t.Errorf("data source %s reaches %q, which is no service of compose.yaml", d.UID, host)
		}
		if variable, ok := strings.CutPrefix(d.SecureJSONData.Password, "$"); ok && p.Services["grafana"].Environment[variable] == nil {
			t.Errorf("data source %s wants %s, which Grafana is not given", d.UID, variable)
		}
	}
	if !found[grafana.ClickHouse] || !found[grafana.Pyroscope] {
		t.Errorf("provisioned: %v", found)
	}
	provider, err := os.ReadFile("provisioning/dashboards/tachograph.yaml")
	if err != nil {
		t.Fatal(err)
	}
	mounted := false
	for _, v := range p.Services["grafana"].Volumes {
		mounted = mounted || strings.HasSuffix(v.Source, "web/grafana/dashboards") && strings.Contains(string(provider), "path: "+v.Target)
	}
	if !mounted {
		t.Error("the provider of dashboards reads from where compose.yaml mounts nothing")
	}
	home := p.Services["grafana"].Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	if home == nil || grafana.All()[filepath.Base(*home)].UID == "" || !strings.Contains(string(provider), "path: "+filepath.Dir(*home)) {
		t.Errorf("Grafana's first page is %v, which is no dashboard of ours", home)
	}
}
