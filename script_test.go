package main

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tachograph/collector/store/embedded"
	"tachograph/runner/gate"
)

// TestMain lets this test binary be a sandbox's zygote, the embedded ClickHouse and, under the name tacho, the program.
func TestMain(m *testing.M) {
	gate.RunIfHelper()
	embedded.RunIfHelper()
	if err := forbid(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	const child = "TACHO_TEST_CHILD"
	if os.Getenv(child) != "" { // started by a test, or by what it tests, as the program
		os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
	}
	os.Setenv(child, "1")
	testscript.Main(m, map[string]func(){
		"tacho": func() {
			os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
		},
	})
}

// TestScripts runs the command as a user would: testdata/script reads as its documentation.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			// HOME would be in root's home for root: tools could not reach it.
			env.Setenv("TACHO_DATA", env.WorkDir+"/data")
			env.Setenv("PATH", os.Getenv("PATH"))
			return os.Chmod(env.WorkDir, 0o755)
		},
	})
}
