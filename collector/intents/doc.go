// Package intents computes the vectors of intents: why each step was done, as a direction in space, so that near ones
// are found (store.NearestIntents) and a step that has strayed from the run's goal shows (the column distance).
//
//	spans with intent_text ─ which have no row in intents? ─→ Embedder ─→ rows: name, vector, distance to the goal
//	     ▲ collector, long before                              (built in, or an endpoint)
//
// It works off the path of acknowledgement: it reads what is stored, and adds to it. It must never hold a sender or an
// agent up, never change a span, and never take a text that nobody can embed as a reason to stop.
//
// # What is done, and what is not
//
// Invariant: the table says what is done. A span's intent is done when a row of the embedder stands for its key; nothing
// else remembers it, so a crash loses nothing and does nothing twice but for the batch in hand. A text without a
// direction (no word in it), or one that the embedder refuses, is done with a row that has an empty vector. A row that is
// written twice, by two workers or a retry after an unclear answer, collapses, and readers take one.
//
// To find what is not done, segments are compared, not spans: a segment of the collector comes whole and never changes.
//
//   - A pass, at each hint and every few seconds: segments received since the last good pass, less an overlap for those
//     that were stored late. Those that are finished are remembered, so that an idle pass is one small question.
//   - A sweep, at the start, when segments come late, and every few minutes: all spans against all rows. It finds
//     what an overlap cannot: a spool that was stored an hour after it was filled.
//
// Read first: worker.go, then embed.go.
package intents
