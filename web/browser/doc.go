// Package browser looks at the pages as a person does: tests in a headless Chromium over `tacho up`,
// built from this tree, with its embedded ClickHouse; only a model's words are written down. It holds
// tests alone and must never be imported.
//
// The tests share one tacho and one browser (stage_test.go) and run side by side, but for those that kill
// tacho, trace the browser, or would see another's run in a list; nothing in them sleeps. views_test.go says
// what each view shows and what it lives on, and spoils that to see that the check notices, foreign_test.go the
// same of other people's traces; steer_test.go forks, approves and stops; lost_test.go cuts streams and kills
// tacho; states_test.go is what is empty or wrong; page_test.go hostile content, keys and themes. By hand:
// TACHO_SCREENSHOTS (pictures_test.go) and TACHO_FIGURES (figures_test.go).
//
// Without a Chromium they are skipped, unless TACHO_TEST_BROWSER=must; TACHO_CHROMIUM names one.
package browser
