package gate_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tachograph/runner/gate"
)

// Where user namespaces are refused there is no overlay: the delta is a scan. The same tests hold.
func TestWithoutNamespaces(t *testing.T) {
	if os.Getenv(forbidEnv) != "" {
		t.Skip("this is the process without namespaces")
	}
	t.Parallel()
	dir, err := os.MkdirTemp("", "tacho-gate-") // not t.TempDir: another user has to pass its parents
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	uid, gid := os.Getuid(), os.Getgid()
	cmd := exec.CommandContext(limited(t), "/proc/self/exe", "-test.v",
		"-test.run=^(TestSandboxTier|TestCallsChangeTheTreeAndTheJournalTogether|TestKilled|TestChangeThatCannotBeKept|TestConcurrentAgents)$")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE}}
	if uid == 0 {
		uid, gid = gate.ToolUser(), gate.ToolUser()
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 1000, NoSetGroups: true}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: uid, Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: gid, Size: 1}}
	cmd.Env = append(os.Environ(), forbidEnv+"=1", "TMPDIR="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS: Test") != 5 {
		t.Errorf("without namespaces: %v\n%s", err, out)
	}
}

func TestSandboxTier(t *testing.T) {
	t.Parallel()
	want := "1"
	if os.Getenv(forbidEnv) != "" {
		want = "2"
	}
	if got := newLab(t, nil, nil).gate.Sandbox(); got != want {
		t.Errorf("tools run in tier %s, want %s", got, want)
	}
}
