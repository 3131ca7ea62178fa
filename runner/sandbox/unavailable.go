package sandbox

import (
	"fmt"
	"strings"
)

// Features of the kernel, or of this machine's set-up, that a tier can lack.
const (
	featureUserNS     = "user namespaces"
	featureMounts     = "mounts in a user namespace"
	featureProc       = "a proc mount in a pid namespace"
	featureOverlay    = "overlayfs in a user namespace"
	featureNetwork    = "network namespaces"
	featureLandlock   = "Landlock"
	featureSeccomp    = "system-call filters"
	featurePaths      = "the run's directories"
	featureProcesses  = "processes"
	featureCloseRange = "closing all descriptors at once"
	featureChildren   = "the list of a process's children in proc"
	featureProtocol   = "the helper process"
	featurePlatform   = "Linux on amd64 or arm64"
	featureProgram    = "program" // a call's, never a machine's
)

// Refusal says why one tier cannot be had here.
type Refusal struct {
	Tier    Tier   `json:"tier"`
	Feature string `json:"feature"` // what is missing
	Step    string `json:"step"`    // what was being done
	Cause   string `json:"cause"`   // the kernel's answer
	Remedy  string `json:"remedy"`  // the command or setting that mends it
}

// Unavailable is returned by Open when this machine cannot give any tier that was asked for. Nothing was left running.
// The caller shows it and ends with the exit code for a machine that lacks something.
type Unavailable struct {
	Refused []Refusal // in the order they were tried
}

func (u *Unavailable) Error() string {
	if len(u.Refused) == 0 {
		return "open sandbox: the wanted tier is weaker than the least that policy accepts"
	}
	var b strings.Builder
	b.WriteString("open sandbox: this machine cannot confine tools")
	for _, r := range u.Refused {
		fmt.Fprintf(&b, "; tier %v lacks %s: %s: %s (%s)", r.Tier, r.Feature, r.Step, r.Cause, r.Remedy)
	}
	return b.String()
}
