package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"tachograph/runner"
	"tachograph/web/api"
)

// TestGeneratedFileIsUpToDate compares the digest that go generate wrote with what is there.
func TestGeneratedFileIsUpToDate(t *testing.T) {
	t.Parallel()
	h := sha256.New()
	for _, name := range []string{"openapi.yaml", "oapi.yaml", "openapi.gen.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(text)
	}
	want, err := os.ReadFile("openapi.gen.sha256")
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != strings.TrimSpace(string(want)) {
		t.Errorf("the contract or what is generated from it was changed alone: run go generate ./web/api")
	}
}

// TestAgentRequestIsASpec: the contract describes each field of a spec, and no other but what is
// refused by name.
func TestAgentRequestIsASpec(t *testing.T) {
	t.Parallel()
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := yaml.Unmarshal(api.Document, &doc); err != nil {
		t.Fatal(err)
	}
	var described, fields []string
	for name := range doc.Components.Schemas["AgentRequest"].Properties {
		described = append(described, name)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[runner.Spec]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields = append(fields, name)
	}
	fields = slices.DeleteFunc(append(fields, "agent_swarm"), func(name string) bool { return name == "request_key" })
	slices.Sort(described)
	slices.Sort(fields)
	if diff := cmp.Diff(fields, described); diff != "" {
		t.Errorf("the contract describes other fields than a spec has:\n%s", diff)
	}
}
