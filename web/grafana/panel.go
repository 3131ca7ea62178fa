package grafana

// Panel shows what one or more queries return.
type Panel struct {
	Title, Description string
	Kind               Kind
	Width              int
	Unit               string // Grafana's name: ns, short, currencyUSD, percentunit
	Stacked            bool
	Alarm              float64 // 0: none; from this value on it is red
	Queries            []Query
	Fields             []Field
}

// Kind is how a panel shows rows.
type Kind string

// Kinds of panels that are used.
const (
	Lines Kind = "timeseries"
	Stat  Kind = "stat"     // one value
	Bars  Kind = "bargauge" // a row a bar
	Table Kind = "table"
)

// Query is SQL for the ClickHouse data source. Series says that its first column is time; Split that its second one,
// `label`, makes a series of each of its texts.
type Query struct {
	SQL           string
	Series, Split bool
}

// Field is how a column is shown where that is not the panel's way.
type Field struct {
	Column string
	Unit   string
	Width  int  // pixels
	Gauge  bool // a bar in the cell, of a share
	Link   Link
}

// Link leads from a column's cells elsewhere: ${__value.raw} is the cell, ${__data.fields.NAME} another of its row.
type Link struct {
	Title, URL string
}

func (p Panel) model(id, x, y, height int) map[string]any {
	return map[string]any{
		"id": id, "title": p.Title, "description": p.Description, "type": p.Kind, "datasource": source(),
		"gridPos":     map[string]any{"x": x, "y": y, "w": p.Width, "h": height},
		"targets":     p.targets(),
		"fieldConfig": map[string]any{"defaults": p.defaults(), "overrides": p.overrides()},
		"options":     p.options(),
	}
}

func (p Panel) defaults() map[string]any {
	steps := []any{map[string]any{"color": "green", "value": nil}}
	if p.Alarm > 0 {
		steps = append(steps, map[string]any{"color": "red", "value": p.Alarm})
	}
	defaults := map[string]any{"unit": p.Unit, "thresholds": map[string]any{"mode": "absolute", "steps": steps}, "color": map[string]any{"mode": "palette-classic"}}
	if len(p.Queries) > 0 && p.Queries[0].Split {
		defaults["displayName"] = "${__field.labels.label}"
	}
	switch p.Kind {
	case Lines:
		custom := map[string]any{"lineWidth": 1, "fillOpacity": 10, "showPoints": "auto", "spanNulls": false}
		if p.Stacked {
			custom["stacking"], custom["fillOpacity"] = map[string]any{"mode": "normal", "group": "A"}, 40
		}
		defaults["custom"], defaults["min"] = custom, 0
	case Stat:
		defaults["color"] = map[string]any{"mode": "thresholds"}
	case Bars:
		defaults["min"] = 0
	case Table:
		defaults["custom"] = map[string]any{"align": "auto", "filterable": true}
	}
	return defaults
}

func (p Panel) options() map[string]any {
	switch p.Kind {
	case Stat:
		return map[string]any{"reduceOptions": reduced(false), "colorMode": "value", "graphMode": "none", "textMode": "value", "justifyMode": "auto"}
	case Bars:
		return map[string]any{"reduceOptions": reduced(true), "orientation": "horizontal", "displayMode": "basic", "showUnfilled": true}
	case Table:
		return map[string]any{"showHeader": true, "cellHeight": "sm", "footer": map[string]any{"show": false}}
	}
	return map[string]any{"legend": map[string]any{"showLegend": true, "displayMode": "list", "placement": "bottom"},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"}}
}

// reduced takes the last row, or every row.
func reduced(rows bool) map[string]any {
	return map[string]any{"values": rows, "calcs": []string{"lastNotNull"}, "fields": ""}
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
	for _, f := range p.Fields {
		properties := []any{}
		set := func(id string, value any) { properties = append(properties, map[string]any{"id": id, "value": value}) }
		if f.Unit != "" {
			set("unit", f.Unit)
		}
		if f.Width > 0 {
			set("custom.width", f.Width)
		}
		if f.Gauge {
			set("custom.cellOptions", map[string]any{"type": "gauge", "mode": "basic"})
			set("min", 0)
			set("max", 1)
		}
		if f.Link.URL != "" {
			set("links", []any{map[string]any{"title": f.Link.Title, "url": f.Link.URL, "targetBlank": true}})
		}
		list = append(list, map[string]any{"matcher": map[string]any{"id": "byName", "options": f.Column}, "properties": properties})
	}
	return list
}
