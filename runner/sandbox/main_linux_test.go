//go:build amd64 || arm64

package sandbox_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"tachograph/runner/sandbox"
)

// TestMain lets this binary be four things: a zygote, an attacker inside a sandbox, a parent that is about to be killed or
// robbed of a kernel feature, and the tests.
func TestMain(m *testing.M) {
	sandbox.RunIfHelper()
	if len(os.Args) > 2 && os.Args[1] == "attack" {
		runAttack(os.Args[2])
	}
	if len(os.Args) > 2 && os.Args[1] == "parent" {
		runParent(os.Args[2])
	}
	goleak.VerifyTestMain(m)
}

// leave ends a process that is not a test.
func leave(code int, text any) {
	fmt.Println(text)
	os.Exit(code)
}
