package dialect

import (
	"slices"

	"tachograph/collector/otlp"
	"tachograph/schemas/attr"
	"tachograph/schemas/tables"
)

// shared is what all records of a resource and scope have in common, made once for all of them.
type shared struct {
	resource, scope int // numbers in the request
	service         string
	resourceJSON    string
	scopeJSON       string
	cuts            []tables.Cut
	wholes          []otlp.Attr // that cuts are of
}

// of brings the shared texts up to date with the resource and scope of the next record.
func (s *shared) of(r *otlp.Resource, scope *otlp.Scope) {
	if r.Number == s.resource && scope.Number == s.scope {
		return
	}
	s.resource, s.scope = r.Number, scope.Number
	s.cuts, s.wholes = s.cuts[:0], s.wholes[:0]
	s.service = findText(r.Attributes, attr.ServiceName)
	// New texts: rows of the resource before may still point into the old ones.
	s.resourceJSON = s.object("resource", r.Attributes)
	s.scopeJSON = s.object("scope", scope.Attributes)
}

// object writes attributes as JSON, long strings cut.
func (s *shared) object(place string, attrs []otlp.Attr) string {
	kept := attrs
	for i, a := range attrs {
		if a.Value.Type != otlp.String || len(a.Value.Text) <= tables.MaxValue {
			continue
		}
		if &kept[0] == &attrs[0] {
			kept = slices.Clone(attrs)
		}
		s.cuts = append(s.cuts, tables.Cut{Place: place, Key: a.Key, Size: uint64(len(a.Value.Text))})
		s.wholes = append(s.wholes, a)
		kept[i].Value.Text = cutText(a.Value.Text)
	}
	return string(appendObject(nil, kept))
}
