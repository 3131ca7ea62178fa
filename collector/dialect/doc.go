// Package dialect says what requests mean: which rows of schemas/tables they become, and which of
// their records are refused. It recognises the GenAI conventions, the tacho.* attributes and the
// records of our own journals (schemas/record); everything else is kept as it came.
//
// It must never lose or change what was sent. A typed column either holds an attribute exactly
// (then its bit of lifted is set and the attribute stands nowhere else), or it is a reading of ours, beside
// attributes that are all there. It never answers, stores or waits.
//
// A request is looked at twice. [Examine] sees it before it is acknowledged: which records are wrong,
// and by which keys the others are known if they are sent again. [Writer] makes rows of it afterwards, from the
// spool, today or after a crash. Both number the spans, log records or data points of a request in the order
// in which they stand in it, from 0; so a list of numbers is enough to say what is left out.
//
// Read first: examine.go, then spans.go (attributes to columns), journal.go (our own records).
package dialect
