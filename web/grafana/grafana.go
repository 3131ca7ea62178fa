// Package grafana makes Tachograph's Grafana dashboards: as code here, as JSON in dashboards/, where
// compose.yaml has Grafana find them. The SQL in a panel is what Grafana's ClickHouse data source is
// given, macros included; its tables are specified in schemas/tables.
//
// It must never be imported by what runs: it is a generator and its tests. `go test ./web/grafana
// -update` writes the JSON again.
//
// Read first: overview.go (a dashboard), then this file (what Grafana wants of one).
package grafana

import (
	"encoding/json"
	"fmt"
)

// Uids of the data sources that provisioning/datasources sets up.
const (
	ClickHouse = "tachograph-clickhouse"
	Pyroscope  = "tachograph-pyroscope"
)

const clickHouseType = "grafana-clickhouse-datasource"

// Dashboard is a page of panels.
type Dashboard struct {
	UID       string
	Title     string
	Tags      []string
	Refresh   string // "10s"
	From      string // "now-6h"
	Variables []Variable
	Rows      []Row
}

// Variable is a choice above the panels; its query gives the values. Panels use it as ${name:sqlstring}.
type Variable struct {
	Name, Label, Query string
}

// Row is panels side by side; their widths add up to [gridWidth] at most.
type Row struct {
	Height int
	Panels []Panel
}

// gridWidth is the number of columns of Grafana's grid.
const gridWidth = 24

// Panel shows what one or more queries return.
type Panel struct {
	Title, Description string
	Kind               string // timeseries, stat, table, bargauge
	Width              int
	Unit               string // Grafana's name: ns, short, currencyUSD, percentunit
	Stacked            bool
	Queries            []Query
	Links              []Link // of a table's cells, by column
}

// Query is SQL for the ClickHouse data source. Series says that its first column is time.
type Query struct {
	SQL    string
	Series bool
}

// Link leads from a column's cells elsewhere; ${__value.raw} is the cell.
type Link struct {
	Column, Title, URL string
}

// JSON is the dashboard as Grafana reads it, indented, with a line feed at its end.
func (d Dashboard) JSON() ([]byte, error) {
	model := map[string]any{
		"uid": d.UID, "title": d.Title, "tags": d.Tags, "refresh": d.Refresh, "schemaVersion": 41, "version": 1,
		"editable": false, "graphTooltip": 1, "timezone": "browser", "time": map[string]any{"from": d.From, "to": "now"},
		"templating": map[string]any{"list": d.variables()},
		"panels":     d.panels(),
	}
	text, err := json.MarshalIndent(model, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write dashboard %s: %w", d.UID, err)
	}
	return append(text, '\n'), nil
}

func (d Dashboard) variables() []any {
	list := []any{}
	for _, v := range d.Variables {
		list = append(list, map[string]any{
			"name": v.Name, "label": v.Label, "type": "query", "query": v.Query, "definition": v.Query, "datasource": source(),
			"refresh": 2, "sort": 1, "multi": true, "includeAll": true, "current": map[string]any{"text": []string{"All"}, "value": []string{"$__all"}},
		})
	}
	return list
}

// panels lays the rows out below one another and numbers what is in them.
func (d Dashboard) panels() []any {
	list := []any{}
	y := 0
	for _, row := range d.Rows {
		x := 0
		for _, p := range row.Panels {
			list = append(list, p.model(len(list)+1, x, y, row.Height))
			x += p.Width
		}
		y += row.Height
	}
	return list
}

func (p Panel) model(id, x, y, height int) map[string]any {
	defaults := map[string]any{"unit": p.Unit}
	if p.Kind == "timeseries" {
		custom := map[string]any{"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
		if p.Stacked {
			custom["stacking"], custom["fillOpacity"] = map[string]any{"mode": "normal"}, 40
		}
		defaults["custom"] = custom
	}
	return map[string]any{
		"id": id, "title": p.Title, "description": p.Description, "type": p.Kind, "datasource": source(),
		"gridPos":     map[string]any{"x": x, "y": y, "w": p.Width, "h": height},
		"targets":     p.targets(),
		"fieldConfig": map[string]any{"defaults": defaults, "overrides": p.overrides()},
		"options":     map[string]any{},
	}
}

func (p Panel) targets() []any {
	list := []any{}
	for i, q := range p.Queries {
		kind, format := "table", 1
		if q.Series {
			kind, format = "timeSeries", 0
		}
		list = append(list, map[string]any{"refId": string(rune('A' + i)), "datasource": source(), "editorType": "sql",
			"queryType": kind, "format": format, "rawSql": q.SQL})
	}
	return list
}

func (p Panel) overrides() []any {
	list := []any{}
	for _, l := range p.Links {
		list = append(list, map[string]any{
			"matcher": map[string]any{"id": "byName", "options": l.Column},
			"properties": []any{map[string]any{"id": "links",
				"value": []any{map[string]any{"title": l.Title, "url": l.URL, "targetBlank": true}}}},
		})
	}
	return list
}

func source() map[string]any { return map[string]any{"type": clickHouseType, "uid": ClickHouse} }
