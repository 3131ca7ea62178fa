package otlp

import "unsafe"

// Resource is what a process says of itself.
type Resource struct {
	Number     int // from 1 in a request; tells one from another
	Attributes []Attr
	Dropped    uint32
	SchemaURL  string
}

// Scope is the instrumentation that made the records.
type Scope struct {
	Number        int // from 1 in a request
	Name, Version string
	Attributes    []Attr
	Dropped       uint32
	SchemaURL     string
}

// Span is a view of one span. Times are nanoseconds since 1970. Trace, ID and Parent hold what
// arrived; their lengths are 16, 8, and 0 or 8 only if BadID is empty.
type Span struct {
	Trace, ID, Parent string // bytes
	BadID             string // why the ids are none
	TraceState, Name  string
	Flags             uint32
	Kind              int32
	Start, End        uint64
	Attributes        []Attr
	Events            []Event
	Links             []Link
	StatusCode        int32
	StatusMessage     string

	DroppedAttributes, DroppedEvents, DroppedLinks uint32

	arena []Attr // of events and links
}

// Event is something that happened during a span.
type Event struct {
	Time       uint64
	Name       string
	Attributes []Attr
	Dropped    uint32
}

// Link points to another span.
type Link struct {
	Trace, ID, State string // Trace and ID are bytes
	Attributes       []Attr
	Dropped          uint32
	Flags            uint32
}

// ReadTraces walks an ExportTraceServiceRequest and calls each for every span, in order. It returns
// the first error, of the bytes (ErrMalformed, ErrTooLarge) or of each.
func ReadTraces(request []byte, limits Limits, each func(*Resource, *Scope, *Span) error) error {
	t := traceReader{reader: reader{limits: limits.WithDefaults()}, each: each}
	c := fields(request, "ExportTraceServiceRequest")
	for c.next() {
		if c.num == 1 {
			if err := t.resource.read(&t.reader, c.message(), t.scopeSpans); c.err == nil && err != nil {
				return err
			}
		}
	}
	return c.err
}

type traceReader struct {
	reader
	each     func(*Resource, *Scope, *Span) error
	resource Resource
	scope    Scope
	span     Span
}

// read goes through a ResourceSpans or ResourceLogs, which have the same form: first for what is
// said of the resource, then for the scopes, since fields may come in any order.
func (res *Resource) read(r *reader, message []byte, scope func([]byte) error) error {
	*res = Resource{Number: res.Number + 1, Attributes: res.Attributes[:0]}
	c := fields(message, "Resource")
	for c.next() {
		switch c.num {
		case 1:
			if err := res.describe(r, c.message()); c.err == nil && err != nil {
				return err
			}
		case 2:
			c.message()
		case 3:
			res.SchemaURL = c.text()
		}
	}
	if c.err != nil {
		return c.err
	}
	for c = fields(message, "Resource"); c.next(); {
		if c.num == 2 {
			if err := scope(c.message()); err != nil {
				return err
			}
		}
	}
	return c.err
}

func (res *Resource) describe(r *reader, message []byte) error {
	c := fields(message, "Resource")
	for c.next() {
		switch c.num {
		case 1:
			if err := r.appendAttr(&res.Attributes, &c); err != nil {
				return err
			}
		case 2:
			res.Dropped = uint32(c.uint())
		}
	}
	return c.err
}

// read does the same for a ScopeSpans or ScopeLogs.
func (s *Scope) read(r *reader, message []byte, record func([]byte) error) error {
	*s = Scope{Number: s.Number + 1, Attributes: s.Attributes[:0]}
	c := fields(message, "Scope")
	for c.next() {
		switch c.num {
		case 1:
			if err := s.describe(r, c.message()); c.err == nil && err != nil {
				return err
			}
		case 2:
			c.message()
		case 3:
			s.SchemaURL = c.text()
		}
	}
	if c.err != nil {
		return c.err
	}
	for c = fields(message, "Scope"); c.next(); {
		if c.num == 2 {
			if err := record(c.message()); err != nil {
				return err
			}
		}
	}
	return c.err
}

func (s *Scope) describe(r *reader, message []byte) error {
	c := fields(message, "InstrumentationScope")
	for c.next() {
		switch c.num {
		case 1:
			s.Name = c.text()
		case 2:
			s.Version = c.text()
		case 3:
			if err := r.appendAttr(&s.Attributes, &c); err != nil {
				return err
			}
		case 4:
			s.Dropped = uint32(c.uint())
		}
	}
	return c.err
}

// appendAttr adds the KeyValue at the cursor.
func (r *reader) appendAttr(to *[]Attr, c *cursor) error {
	message := c.message()
	if c.err != nil {
		return c.err
	}
	if a, ok := plainAttr(message); ok {
		*to = append(*to, a)
		return r.countValue()
	}
	a, err := r.attr(message, 0)
	if err == nil {
		*to = append(*to, a)
	}
	return err
}

func (t *traceReader) scopeSpans(message []byte) error {
	return t.scope.read(&t.reader, message, t.readSpan)
}

func (t *traceReader) readSpan(message []byte) error {
	if err := t.countRecord("spans"); err != nil {
		return err
	}
	s := &t.span
	*s = Span{Attributes: s.Attributes[:0], Events: s.Events[:0], Links: s.Links[:0], arena: s.arena[:0]}
	if err := s.read(&t.reader, message); err != nil {
		return err
	}
	s.BadID = badID(s.Trace, s.ID, s.Parent)
	return t.each(&t.resource, &t.scope, s)
}

func (s *Span) read(r *reader, message []byte) error {
	c := fields(message, "Span")
	for c.next() {
		switch c.num {
		case 1:
			s.Trace = c.text()
		case 2:
			s.ID = c.text()
		case 3:
			s.TraceState = c.text()
		case 4:
			s.Parent = c.text()
		case 5:
			s.Name = c.text()
		case 6:
			s.Kind = int32(c.uint())
		case 7:
			s.Start = c.fixed64()
		case 8:
			s.End = c.fixed64()
		case 10:
			s.DroppedAttributes = uint32(c.uint())
		case 12:
			s.DroppedEvents = uint32(c.uint())
		case 14:
			s.DroppedLinks = uint32(c.uint())
		case 16:
			s.Flags = c.fixed32()
		case 9, 11, 13, 15:
			if err := s.readPart(r, &c); err != nil {
				return err
			}
		}
	}
	return c.err
}

func (s *Span) readPart(r *reader, c *cursor) (err error) {
	m := c.message()
	if c.err != nil {
		return c.err
	}
	switch c.num {
	case 9:
		return r.appendAttr(&s.Attributes, c)
	case 11:
		return s.readEvent(r, m)
	case 13:
		return s.readLink(r, m)
	default:
		return s.readStatus(m)
	}
}

func (s *Span) readStatus(message []byte) error {
	c := fields(message, "Status")
	for c.next() {
		switch c.num {
		case 2:
			s.StatusMessage = c.text()
		case 3:
			s.StatusCode = int32(c.uint())
		}
	}
	return c.err
}

func (s *Span) readEvent(r *reader, message []byte) error {
	if err := r.countValue(); err != nil {
		return err
	}
	var e Event
	from := len(s.arena)
	c := fields(message, "Event")
	for c.next() {
		switch c.num {
		case 1:
			e.Time = c.fixed64()
		case 2:
			e.Name = c.text()
		case 3:
			if err := r.appendAttr(&s.arena, &c); err != nil {
				return err
			}
		case 4:
			e.Dropped = uint32(c.uint())
		}
	}
	e.Attributes = s.arena[from:len(s.arena):len(s.arena)]
	s.Events = append(s.Events, e)
	return c.err
}

func (s *Span) readLink(r *reader, message []byte) error {
	if err := r.countValue(); err != nil {
		return err
	}
	var l Link
	from := len(s.arena)
	c := fields(message, "Link")
	for c.next() {
		switch c.num {
		case 1:
			l.Trace = c.text()
		case 2:
			l.ID = c.text()
		case 3:
			l.State = c.text()
		case 4:
			if err := r.appendAttr(&s.arena, &c); err != nil {
				return err
			}
		case 5:
			l.Dropped = uint32(c.uint())
		case 6:
			l.Flags = c.fixed32()
		}
	}
	l.Attributes = s.arena[from:len(s.arena):len(s.arena)]
	s.Links = append(s.Links, l)
	return c.err
}

// badID says what is wrong with a span's ids; "" if nothing is. The specification wants 16 and 8
// bytes that are not all zero; a parent is absent or 8 bytes.
func badID(trace, span, parent string) string {
	switch {
	case len(trace) != 16:
		return "a trace id must have 16 bytes"
	case len(span) != 8:
		return "a span id must have 8 bytes"
	case len(parent) != 0 && len(parent) != 8:
		return "a parent span id must have 8 bytes or none"
	case trace == "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00":
		return "a trace id must not be all zero"
	case span == "\x00\x00\x00\x00\x00\x00\x00\x00":
		return "a span id must not be all zero"
	}
	return ""
}

// bytesOf is the inverse of view. Its result is only read.
func bytesOf(s string) []byte {
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
