package gate_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"tachograph/runner/gate"
)

func TestMain(m *testing.M) {
	gate.RunIfHelper()
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}
