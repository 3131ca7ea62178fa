// Package ui holds the pages that engineers look at runs with, as they are served: what `npm run build`
// made of src/ (TypeScript, React) and committed under dist/. It never holds logic: what a page shows comes
// from the API (web/api), whose types the sources are generated from.
//
// File names carry no hashes, so serve them with an ETag; every path that is no file and not below /api/
// or /v1/ is a view's address and gets index.html. The pages need no policy wider than
//
//	default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'
//
// Read first: src/App.tsx (which address shows what), src/api/client.ts (all that is asked of the
// server), src/theme.css (how it looks). To build: npm ci && npm run build. ui_test.go fails when
// dist/ is not of these sources.
package ui

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files are the built pages; index.html is at the top.
func Files() (fs.FS, error) { return fs.Sub(dist, "dist") }
