package tables

// SpanBatch is what a reader of a run's spans is handed at once. Its slices are the reader's to keep.
type SpanBatch struct {
	Ended []Span
	Open  []OpenSpan
	// Origin is the time at which the run began, in nanoseconds since 1970.
	Origin int64
	// Last says that nothing follows; then Open are all that are open, and Entries says how many entries of the
	// journal the spans up to here are of: whoever asks for what came after them misses nothing.
	Last    bool
	Entries int64
}
