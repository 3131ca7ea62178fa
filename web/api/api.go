// Package api is the contract of the HTTP interface: openapi.yaml, and the types and server stubs that
// are generated from it (openapi.gen.go). The page's client is generated from the same file.
//
// It holds words only. It must never read, decide or convert anything; package web does.
//
// Read first: openapi.yaml.
package api

import _ "embed"

// Document is openapi.yaml.
//
//go:embed openapi.yaml
var Document []byte
