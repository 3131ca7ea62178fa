//go:build amd64 || arm64

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

func probe(ctx context.Context, dir string) Report {
	r := Report{Kernel: kernelRelease(), Arch: runtime.GOARCH, Root: os.Getuid() == 0, TierName: "none"}
	r.LandlockABI, _ = landlockABI() // 0 says it
	for _, t := range []Tier{TierNamespaces, TierLandlock} {
		if err := tryTier(ctx, dir, t); err != nil {
			r.Refused = append(r.Refused, refusalOf(t, err))
		} else if r.Tier == TierAuto {
			r.Tier, r.TierName = t, t.String()
		}
	}
	r.Checks = checks(r.Refused)
	r.Reason = reason(r)
	return r
}

// tryTier opens and closes a sandbox of this tier over empty directories.
func tryTier(ctx context.Context, dir string, t Tier) error {
	base, err := os.MkdirTemp(dir, "tacho-probe-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)
	if err := os.Chmod(base, 0o711); err != nil { // as root the tools' user must get through
		return err
	}
	c := Config{Tier: t, Tree: filepath.Join(base, "tree"), Mount: "/project", Home: filepath.Join(base, "home"),
		Tmp: filepath.Join(base, "tmp"), Scratch: filepath.Join(base, "scratch")}
	for _, d := range []string{c.Tree, c.Home, c.Tmp, c.Scratch} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if uid := ToolUser(0); uid >= 0 {
		if err := os.Chown(c.Tree, uid, uid); err != nil {
			return err
		}
	}
	s, err := Open(ctx, c)
	if err != nil {
		return err
	}
	return s.Close()
}

func refusalOf(t Tier, err error) Refusal {
	var u *Unavailable
	if errors.As(err, &u) && len(u.Refused) > 0 {
		return u.Refused[0]
	}
	return Refusal{Tier: t, Feature: featurePaths, Step: "try the tier", Cause: err.Error(), Remedy: remedy(featurePaths, err)}
}

// checks turns refusals into a list of features: those before a tier's refusal worked, those after were not reached.
func checks(refusals []Refusal) []Check {
	plans := map[Tier][]string{
		TierNamespaces: {featureUserNS, featureLandlock, featureMounts, featureProc, featureOverlay, featureNetwork, featureSeccomp},
		TierLandlock:   {featureLandlock, featureChildren, featureSeccomp},
	}
	var out []Check
	for _, t := range []Tier{TierNamespaces, TierLandlock} {
		state := "ok"
		for _, f := range plans[t] {
			c := Check{Feature: fmt.Sprintf("tier %v: %s", t, f), State: state}
			for _, r := range refusals {
				if r.Tier == t && r.Feature == f {
					c.State, c.Detail = "missing", r.Step+": "+r.Cause
					state = "not reached"
				}
			}
			out = append(out, c)
		}
	}
	return out
}

func reason(r Report) string {
	switch r.Tier {
	case TierNamespaces:
		return "namespaces, Landlock and filters all work"
	case TierLandlock:
		return fmt.Sprintf("tier namespaces lacks %s; Landlock and filters work", r.Refused[0].Feature)
	}
	return "neither tier works"
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
