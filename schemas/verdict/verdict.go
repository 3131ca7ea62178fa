// Package verdict is the content that an entry call.decided names as its Reasons: what policy said
// about a call, and why. The gate writes it; the command line, the pages and the spans read it. It
// must stay free of any policy engine's own types: what is stored is read by later versions.
package verdict

import (
	"encoding/json"
	"fmt"
)

// Version is the value of `v` in what Encode writes.
const Version = 1

// Reason is one policy that matched.
type Reason struct {
	ID     string `json:"id"`
	Text   string `json:"text,omitempty"`   // @hold or @reason
	Advice string `json:"advice,omitempty"` // @advice
	Line   int    `json:"line,omitempty"`   // in the policy's text
	Error  string `json:"error,omitempty"`  // the policy could not be evaluated
}

// Verdict is what was decided, as JSON:
//
//	{"v":1,"actions":["execute","write"],"decision":"hold","reasons":[{"id":…,"text":…,"advice":…,"line":…,"error":…}]}
//
// A reader must skip fields that it does not know.
type Verdict struct {
	V        int      `json:"v"`
	Actions  []string `json:"actions"` // those that the call was asked about
	Decision string   `json:"decision"`
	Reasons  []Reason `json:"reasons"` // of the policies that made the decision, in order of the file
}

// Encode writes a verdict; V is set.
func (v Verdict) Encode() []byte {
	v.V = Version
	b, err := json.Marshal(v)
	if err != nil {
		panic("verdict: encode: " + err.Error()) // strings and numbers
	}
	return b
}

// Decode reads one.
func Decode(b []byte) (Verdict, error) {
	var v Verdict
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("read reasons of a decision: %w", err)
	}
	return v, nil
}

// Said lists what the policies say, for people: texts, advice and errors, in order.
func (v Verdict) Said() []string {
	said := []string{}
	for _, r := range v.Reasons {
		for _, text := range []string{r.Text, r.Advice, r.Error} {
			if text != "" {
				said = append(said, text)
			}
		}
	}
	return said
}

// Policies lists the ids of the policies.
func (v Verdict) Policies() []string {
	ids := []string{}
	for _, r := range v.Reasons {
		if r.ID != "" {
			ids = append(ids, r.ID)
		}
	}
	return ids
}
