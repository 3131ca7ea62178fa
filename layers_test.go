package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "tachograph"

// layers says which of our folders each folder may import besides schemas, which all may. A package
// is governed by the longest folder that matches.
var layers = map[string][]string{
	"":                {"*"}, // main wires everything
	"schemas":         {},
	"collector":       {"collector/store"},
	"collector/store": {"collector/store"},
	// Its kill test drives the store; for the package itself that would be a cycle.
	"collector/store/exact": {"collector/store"},
	"runner":                {"runner"},
	"runner/state":          {},
	"runner/workspace":      {},
	"runner/sandbox":        {},
	"runner/tools":          {"runner/sandbox"},
	"runner/gate":           {"runner/gate", "runner/state", "runner/workspace", "runner/sandbox", "runner/tools"},
	"runner/spans":          {},
	"runner/ship":           {"runner/state"},
	"replay":                {"replay", "runner", "runner/state", "runner/workspace", "collector/store"},
	"inference":             {"inference"},
	"web":                   {"web", "replay", "runner", "collector/store"},
}

// TestLayers holds the direction of imports: towards schemas, never back.
func TestLayers(t *testing.T) {
	eachGoFile(t, func(file string) {
		folder := path.Dir(file)
		if folder == "." {
			folder = ""
		}
		for _, imported := range importsOf(t, file) {
			ours, ok := strings.CutPrefix(imported, module+"/")
			if !ok {
				continue
			}
			if !mayImport(folder, ours) && !(strings.HasSuffix(file, "_test.go") && inside(ours, "runner")) {
				t.Errorf("%s imports %s, but %s may import only schemas and %v", file, ours, governed(folder), layers[governed(folder)])
			}
		}
	})
}

// TestPackageComments holds that every package says what it is.
func TestPackageComments(t *testing.T) {
	commented := map[string]bool{}
	eachGoFile(t, func(file string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(file)
		commented[dir] = commented[dir] || parsed.Doc != nil && len(parsed.Doc.Text()) > 40
	})
	for dir, ok := range commented {
		if !ok {
			t.Errorf("package in %s has no comment that says what it is, what it must never do and what to read first", dir)
		}
	}
}

func mayImport(folder, imported string) bool {
	allowed := layers[governed(folder)]
	if inside(imported, "schemas") || slices.Contains(allowed, "*") || inside(imported, folder) && folder != "" {
		return true
	}
	return slices.ContainsFunc(allowed, func(a string) bool { return imported == a || inside(imported, a) && governed(imported) == a })
}

// governed is the longest key of layers that holds folder.
func governed(folder string) string {
	for folder != "" && folder != "." {
		if _, ok := layers[folder]; ok {
			return folder
		}
		folder = path.Dir(folder)
	}
	return ""
}

func inside(folder, outer string) bool {
	return folder == outer || strings.HasPrefix(folder, outer+"/")
}

func importsOf(t *testing.T, file string) []string {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, spec := range parsed.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	return paths
}

func eachGoFile(t *testing.T, see func(file string)) {
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(file, ".go") {
			see(filepath.ToSlash(file))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
