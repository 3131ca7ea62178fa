//go:build linux

package workspace_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// The test binary runs itself again for what needs a process of its own: an overlay mount in a new
// user namespace, and operations that are killed half-way. The environment names the part to play.
const helperVariable = "TACHO_WORKSPACE_HELPER"

func TestMain(m *testing.M) {
	switch os.Getenv(helperVariable) {
	case "":
		goleak.VerifyTestMain(m)
	case "overlay":
		exitWith(overlayHelper())
	case "crash":
		exitWith(crashHelper())
	default:
		exitWith(fmt.Errorf("unknown helper %q", os.Getenv(helperVariable)))
	}
}

func exitWith(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func helperCommand(t testing.TB, part string, task any) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), helperVariable+"="+part, "TACHO_TASK="+string(b))
	cmd.Stderr = os.Stderr
	return cmd
}

func helperTask(into any) error {
	return json.Unmarshal([]byte(os.Getenv("TACHO_TASK")), into)
}

// overlayTask is work in a mounted overlay: the mount is at merged, in namespaces of its own.
type overlayTask struct {
	Lower, Upper, Work, Merged string
	Seed                       uint64 // for mutate; 0: run Shell
	Ops                        int
	Careful                    bool
	Shell                      string
}

// overlaid runs a task in a new overlay over tree and returns its upper directory.
func overlaid(t testing.TB, tree string, task overlayTask) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(tree), "overlay-")
	if err != nil {
		t.Fatal(err)
	}
	task.Lower = tree
	for into, name := range map[*string]string{&task.Upper: "upper", &task.Work: "work", &task.Merged: "merged"} {
		*into = filepath.Join(dir, name)
		if err := os.Mkdir(*into, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := helperCommand(t, "overlay", task)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := cmd.Run(); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			t.Skipf("this machine lets no user namespaces be made: %v", err)
		}
		t.Fatal(err)
	}
	return task.Upper
}

func overlayHelper() error {
	var task overlayTask
	if err := helperTask(&task); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,userxattr", task.Lower, task.Upper, task.Work)
	if err := syscall.Mount("overlay", task.Merged, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	if task.Seed != 0 {
		_, err := mutate(task.Seed, task.Merged, task.Ops, task.Careful)
		return errors.Join(err, unmount(task))
	}
	return errors.Join(shell(task.Merged, task.Shell), unmount(task))
}

// unmount also opens up the directory that the kernel leaves in work, for whoever removes it.
func unmount(task overlayTask) error {
	return errors.Join(syscall.Unmount(task.Merged, 0), os.Chmod(filepath.Join(task.Work, "work"), 0o700))
}

func shell(dir, script string) error {
	cmd := exec.Command("/bin/sh", "-ec", script)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	return cmd.Run()
}
