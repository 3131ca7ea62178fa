package otlp

// Log is a view of one log record. Times are nanoseconds since 1970, 0 if unknown. Trace and Span
// hold what arrived: bytes, of any length.
type Log struct {
	Time, Observed uint64
	Severity       int32
	SeverityText   string
	Body           Value
	Attributes     []Attr
	Dropped        uint32
	Flags          uint32
	Trace, Span    string
	Event          string
}

// ReadLogs walks an ExportLogsServiceRequest and calls each for every log record, in order. It
// returns the first error, of the bytes or of each.
func ReadLogs(request []byte, limits Limits, each func(*Resource, *Scope, *Log) error) error {
	l := logReader{reader: reader{limits: limits.WithDefaults()}, each: each}
	c := fields(request, "ExportLogsServiceRequest")
	for c.next() {
		if c.num == 1 {
			if err := l.resource.read(&l.reader, c.message(), l.scopeLogs); c.err == nil && err != nil {
				return err
			}
		}
	}
	return c.err
}

type logReader struct {
	reader
	each     func(*Resource, *Scope, *Log) error
	resource Resource
	scope    Scope
	log      Log
}

func (l *logReader) scopeLogs(message []byte) error {
	return l.scope.read(&l.reader, message, l.record)
}

func (l *logReader) record(message []byte) error {
	if err := l.countRecord("log records"); err != nil {
		return err
	}
	l.log = Log{Attributes: l.log.Attributes[:0]}
	if err := l.log.read(&l.reader, message); err != nil {
		return err
	}
	return l.each(&l.resource, &l.scope, &l.log)
}

func (g *Log) read(r *reader, message []byte) error {
	c := fields(message, "LogRecord")
	for c.next() {
		switch c.num {
		case 1:
			g.Time = c.fixed64()
		case 2:
			g.Severity = int32(c.uint())
		case 3:
			g.SeverityText = c.text()
		case 5:
			if err := r.value(&g.Body, c.message(), 0); c.err == nil && err != nil {
				return err
			}
		case 6:
			if err := r.appendAttr(&g.Attributes, &c); err != nil {
				return err
			}
		case 7:
			g.Dropped = uint32(c.uint())
		case 8:
			g.Flags = c.fixed32()
		case 9:
			g.Trace = c.text()
		case 10:
			g.Span = c.text()
		case 11:
			g.Observed = c.fixed64()
		case 12:
			g.Event = c.text()
		}
	}
	return c.err
}
