package main

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// TestOtherSystems reads the whole program, tests included, as the compiler of another system would.
// `GOOS=darwin go vet ./...` (.ci/nightly) says the same after compiling every dependency for it, which
// costs as much as a cold build; types alone take a tenth.
func TestOtherSystems(t *testing.T) {
	t.Parallel()
	if os.Getenv("TACHO_TEST_SYSTEMS") == "" {
		t.Skip("set TACHO_TEST_SYSTEMS=1: it takes half a minute of CPU; .ci/run sets it")
	}
	for _, system := range []string{"darwin/arm64", "linux/arm64"} {
		t.Run(system, func(t *testing.T) { // one after the other: each holds every dependency's source
			checkTypes(t, system)
		})
	}
}

func checkTypes(t *testing.T, system string) {
	goos, goarch, _ := strings.Cut(system, "/")
	const everything = packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedDeps |
		packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedTypesSizes
	found, err := packages.Load(&packages.Config{
		Mode: everything, Tests: true,
		Env: append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0"),
	}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	packages.Visit(found, nil, func(p *packages.Package) {
		for _, err := range p.Errors {
			t.Errorf("%s: %v", p.ID, err)
		}
	})
	if len(found) < 40 {
		t.Errorf("%d packages read: this is not the whole program", len(found))
	}
}
