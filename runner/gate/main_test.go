package gate_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"tachograph/runner/gate"
)

// forbidEnv makes a test process, in a user namespace of its own, forbid itself any more of them
// before its tests run.
const forbidEnv = "TACHO_GATE_TEST_FORBID"

func TestMain(m *testing.M) {
	gate.RunIfHelper()
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	if os.Getenv(forbidEnv) != "" {
		if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}
