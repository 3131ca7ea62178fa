package gate

import (
	"encoding/json"
	"reflect"
	"strings"

	"tachograph/runner/gate/reach"
)

// Targets is the content that call.proposed names: what the call would touch. Its JSON is
//
//	{"v":1,"actions":[…],"read":[…],"written":[…],"deleted":[…],"hosts":[…],"programs":[…],"command":"…","dir":"…","facts":[…]}
//
// with empty fields left out. Paths are normalised, of the tree relative to it, others absolute;
// facts are the names of the schema's booleans that are true. A reader must skip fields that it does
// not know.
type Targets struct {
	V        int      `json:"v"` // 1
	Actions  []string `json:"actions"`
	Read     []string `json:"read,omitempty"`
	Written  []string `json:"written,omitempty"`
	Deleted  []string `json:"deleted,omitempty"`
	Hosts    []string `json:"hosts,omitempty"`
	Programs []string `json:"programs,omitempty"`
	Command  string   `json:"command,omitempty"` // bash
	Dir      string   `json:"dir,omitempty"`     // its working directory, as the agent knows it
	Facts    []string `json:"facts,omitempty"`
}

func newTargets(actions []string, r reach.Reach, command, dir string) Targets {
	return Targets{1, actions, r.Read, r.Written, r.Deleted, r.Hosts, r.Programs, command, dir, factNames(r.Facts)}
}

// factNames lists the facts that are true, named as in the schema.
func factNames(f reach.Facts) (names []string) {
	v := reflect.ValueOf(f)
	for i := range v.NumField() {
		if v.Field(i).Bool() {
			name := v.Type().Field(i).Name
			names = append(names, strings.ToLower(name[:1])+name[1:])
		}
	}
	return names
}

func (t Targets) json() []byte {
	b, err := json.Marshal(t)
	if err != nil {
		panic("gate: encode targets: " + err.Error()) // strings and numbers
	}
	return b
}
