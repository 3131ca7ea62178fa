package tables

// SpanLogs are what is read of the log records that a span's conversation arrived as. Its slices are the reader's to keep.
type SpanLogs struct {
	// Logs are in the order in which they were sent, each once, with Time, Event, Body, BodyType, Attributes and Cut alone: those
	// since the model spoke last, and what it spoke.
	Logs []Log
	// Before counts those since the model spoke last that are left out, before the first of Logs.
	Before int64
	// Unread counts the records of a span of which none was read, because there were too many.
	Unread int64
}
