//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tachograph/collector/store/embedded/embeddedtest"
)

// TestDemo runs the demo as a user would, with both tiers of the sandbox. It compiles Go's standard
// library in the sandbox, twice each, so it runs only when asked for: .ci/nightly does. .ci/run runs the demo itself.
func TestDemo(t *testing.T) {
	t.Parallel()
	if os.Getenv("TACHO_TEST_DEMO") == "" {
		t.Skip("set TACHO_TEST_DEMO=1: it takes two minutes of CPU; .ci/nightly sets it, and .ci/run runs the demo itself")
	}
	for _, tier := range []string{"1", "2"} {
		t.Run("tier "+tier, func(t *testing.T) {
			t.Parallel()
			k := newKilled(t, 1)
			cmd := k.command("demo", "--exit")
			if tier == "2" {
				forbidUserNamespaces(cmd)
			}
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(out, []byte("sandbox "+tier)); n != 2 {
				t.Errorf("%d runs in tier %s, want 2", n, tier)
			}
			if n := strings.Count(string(out), "VERIFIED"); n != 2 {
				t.Errorf("%d runs verified, want 2", n)
			}
		})
	}
}

// TestDemoNoticesDamage changes one byte of one row of content in ClickHouse before the demo rebuilds from it:
// the demo ends with the status for what could not be verified, and names what is wrong.
func TestDemoNoticesDamage(t *testing.T) {
	t.Parallel()
	if os.Getenv("TACHO_TEST_DEMO") == "" {
		t.Skip("set TACHO_TEST_DEMO=1: it takes a minute of CPU; .ci/run sets it")
	}
	k := newKilled(t, 1)
	var out, errs bytes.Buffer
	c := &cli{in: os.Stdin, out: &out, err: &errs, env: os.Getenv, data: filepath.Join(k.dir, "demo-data"), project: "default",
		receive: receive{otlpGRPC: "127.0.0.1:0", otlpHTTP: "127.0.0.1:0", http: "127.0.0.1:0"}}
	d := c.newDemo()
	ctx := t.Context()
	if err := d.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.station, err = c.openStation(ctx); err != nil {
		t.Fatal(err)
	}
	defer d.station.Close()
	for _, part := range []func(context.Context) error{d.fail, d.ship} {
		if err := part(ctx); err != nil {
			t.Fatalf("%v\n%s%s", err, &out, &errs)
		}
	}
	flipByte(t, d.station.dsn)
	err = d.rebuild(ctx)
	if statusOf(err) != exitUnverified {
		t.Errorf("status %d (%v), want %d\n%s%s", statusOf(err), err, exitUnverified, &out, &errs)
	}
	t.Logf("%v\n%s", err, &errs)
}

// flipByte changes one bit of the largest file that the run changed.
func flipByte(t *testing.T, dsn string) {
	t.Helper()
	conn := embeddedtest.Connect(t, dsn)
	err := conn.Exec(t.Context(), `ALTER TABLE content UPDATE bytes = concat(char(bitXor(ascii(bytes), 1)), substring(bytes, 2))
		WHERE space = 'object' AND name = (SELECT name FROM content WHERE space = 'object' AND seq <= 48 ORDER BY size DESC LIMIT 1)
		SETTINGS mutations_sync = 1`)
	if err != nil {
		t.Fatal(err)
	}
}

// TestWithoutUserNamespaces runs an agent where the kernel refuses user namespaces: tier 2 is chosen
// by itself and journalled, and a spec that demands tier 1 is refused with the reason.
func TestWithoutUserNamespaces(t *testing.T) {
	t.Parallel()
	k := newKilled(t, 2)
	cmd := k.command("run", "spec.yaml")
	forbidUserNamespaces(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("sandbox 2")) {
		t.Fatalf("%v\n%s", err, out)
	}
	k.result()

	spec, err := os.ReadFile(k.dir + "/spec.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.dir+"/strict.yaml", append(spec, "sandbox: {min_tier: 1}\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd = k.command("run", "strict.yaml")
	forbidUserNamespaces(cmd)
	out, err = cmd.CombinedOutput()
	var ee *exec.ExitError
	if !errors.As(err, &ee) || ee.ExitCode() != exitLacking || !bytes.Contains(out, []byte("max_user_namespaces")) {
		t.Errorf("a spec that demands tier 1: %v\n%s", err, out)
	}
}

// forbidUserNamespaces starts cmd in a user namespace of its own, in which no further ones can be
// made: as on a machine whose administrator forbids them. Users and groups stay what they are.
func forbidUserNamespaces(cmd *exec.Cmd) {
	cmd.Env = append(cmd.Env, forbidVariable+"=1")
	ids := func(id int) []syscall.SysProcIDMap {
		if os.Getuid() == 0 {
			return []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1 << 20}}
		}
		return []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWUSER,
		UidMappings: ids(os.Getuid()), GidMappings: ids(os.Getgid()), GidMappingsEnableSetgroups: os.Getuid() == 0,
		AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE}}
}

const forbidVariable = "TACHO_TEST_FORBID"

// forbid does its part inside the new namespace, before anything else runs in the process.
func forbid() error {
	if os.Getenv(forbidVariable) == "" {
		return nil
	}
	os.Unsetenv(forbidVariable)
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}
