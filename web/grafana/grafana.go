// Package grafana makes Tachograph's Grafana dashboards: as code here, as JSON in dashboards/, where
// compose.yaml has Grafana find them. The SQL in a panel is what Grafana's ClickHouse data source is
// given, macros included; its tables are specified in schemas/tables.
//
// It must never be imported by what runs: it is a generator. `go test ./web/grafana -update` writes the
// JSON again; `go test -run Dashboards .` has a whole tacho record something, and asks every query.
//
// Read first: runs.go (a dashboard), sql.go (what its queries share), then this file (what Grafana
// wants of one) and panel.go.
package grafana

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Uids of the data sources that provisioning/datasources sets up.
const (
	ClickHouse = "tachograph-clickhouse"
	Pyroscope  = "tachograph-pyroscope"
)

const clickHouseType = "grafana-clickhouse-datasource"

// tag is what all dashboards have: by it they list one another.
const tag = "tachograph"

// All are the dashboards, by the name of their file.
func All() map[string]Dashboard {
	return map[string]Dashboard{"runs.json": Runs(), "tools.json": Tools(), "cost.json": Cost(), "collector.json": Collector()}
}

// Dashboard is a page of panels.
type Dashboard struct {
	UID         string
	Title       string
	Description string
	Refresh     string // "10s"
	From        string // "now-6h"
	Variables   []Variable
	Rows        []Row
}

// Variable is a choice above the panels. Its query gives the values, of which several can be chosen, or all;
// one without a query is a text to be typed, at first Value.
type Variable struct {
	Name, Label, Description string
	Query, Value             string
}

// Row is panels side by side; their widths add up to [gridWidth] at most. A titled one has a heading above.
type Row struct {
	Title  string
	Height int
	Panels []Panel
}

// gridWidth is the number of columns of Grafana's grid.
const gridWidth = 24

// JSON is the dashboard as Grafana reads it, indented, with a line feed at its end.
func (d Dashboard) JSON() ([]byte, error) {
	model := map[string]any{
		"uid": d.UID, "title": d.Title, "description": d.Description, "tags": []string{tag}, "refresh": d.Refresh,
		"schemaVersion": 41, "version": 1, "editable": false, "graphTooltip": 1, "timezone": "browser",
		"time":        map[string]any{"from": d.From, "to": "now"},
		"annotations": map[string]any{"list": []any{}},
		"links":       []any{others()},
		"templating":  map[string]any{"list": d.variables()},
		"panels":      d.panels(),
	}
	var text bytes.Buffer
	into := json.NewEncoder(&text)
	into.SetEscapeHTML(false) // SQL is full of < and >
	into.SetIndent("", "  ")
	if err := into.Encode(model); err != nil {
		return nil, fmt.Errorf("write dashboard %s: %w", d.UID, err)
	}
	return text.Bytes(), nil
}

// others is the list of our dashboards above each of them; time and variables go along.
func others() map[string]any {
	return map[string]any{"type": "dashboards", "title": "Tachograph", "tags": []string{tag}, "asDropdown": false,
		"includeVars": true, "keepTime": true, "targetBlank": false, "icon": "external link", "tooltip": "", "url": ""}
}

func (d Dashboard) variables() []any {
	list := []any{}
	for _, v := range d.Variables {
		list = append(list, v.model())
	}
	return list
}

func (v Variable) model() map[string]any {
	model := map[string]any{"name": v.Name, "label": v.Label, "description": v.Description, "hide": 0, "skipUrlSync": false}
	if v.Query == "" {
		model["type"], model["query"] = "textbox", v.Value
		model["current"] = map[string]any{"text": v.Value, "value": v.Value}
		return model
	}
	model["type"], model["query"], model["definition"], model["datasource"] = "query", v.Query, v.Query, source()
	model["refresh"], model["sort"], model["multi"], model["includeAll"] = 2, 1, true, true // 2: whenever the time changes
	model["current"] = map[string]any{"text": []string{"All"}, "value": []string{"$__all"}}
	return model
}

// panels lays the rows out below one another and numbers what is in them.
func (d Dashboard) panels() []any {
	list := []any{}
	y := 0
	for _, row := range d.Rows {
		if row.Title != "" {
			list = append(list, heading(len(list)+1, y, row.Title))
			y++
		}
		x := 0
		for _, p := range row.Panels {
			list = append(list, p.model(len(list)+1, x, y, row.Height))
			x += p.Width
		}
		y += row.Height
	}
	return list
}

func heading(id, y int, title string) map[string]any {
	return map[string]any{"id": id, "title": title, "type": "row", "collapsed": false, "panels": []any{},
		"gridPos": map[string]any{"x": 0, "y": y, "w": gridWidth, "h": 1}}
}

func source() map[string]any { return map[string]any{"type": clickHouseType, "uid": ClickHouse} }
