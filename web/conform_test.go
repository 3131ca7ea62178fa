package web_test

import (
	"encoding/json"
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"tachograph/web/api"
)

// contract is openapi.yaml as plain maps.
var contract = sync.OnceValue(func() map[string]any {
	var doc map[string]any
	if err := yaml.Unmarshal(api.Document, &doc); err != nil {
		panic(err)
	}
	return doc
})

// conform checks an answer against the contract: the status and the type are described, and a JSON
// body is what its schema says. It is stricter than the standard: a field that is not described is
// an error too.
func conform(t *testing.T, method, path string, a answer) {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	operation := find(method, path)
	if operation == nil {
		return // the page, or what is refused before anything is asked
	}
	responses := operation["responses"].(map[string]any)
	response, ok := responses[fmt.Sprint(a.status)]
	if !ok {
		response = responses["default"]
	}
	content, _ := resolve(response)["content"].(map[string]any)
	kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || content[kind] == nil {
		t.Errorf("%s %s: status %d with type %q is not in the contract", method, path, a.status, a.header.Get("Content-Type"))
		return
	}
	if kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return
	}
	var v any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return
	}
	for _, wrong := range violations(content[kind].(map[string]any)["schema"], v, "") {
		t.Errorf("%s %s: %s", method, path, wrong)
	}
}

// find is the operation that a request is; nil if there is none.
func find(method, path string) map[string]any {
	parts := strings.Split(path, "/")
	for pattern, item := range contract()["paths"].(map[string]any) {
		if fits(strings.Split(pattern, "/"), parts) {
			operation, _ := item.(map[string]any)[strings.ToLower(method)].(map[string]any)
			return operation
		}
	}
	return nil
}

// fits says whether a path is one of a pattern.
func fits(pattern, path []string) bool {
	return slices.EqualFunc(pattern, path, func(p, part string) bool { return strings.HasPrefix(p, "{") || p == part })
}

func resolve(v any) map[string]any {
	m, _ := v.(map[string]any)
	ref, ok := m["$ref"].(string)
	if !ok {
		return m
	}
	var at any = contract()
	for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		at = at.(map[string]any)[part]
	}
	return resolve(at)
}

func violations(schema, v any, at string) (wrong []string) {
	s := resolve(schema)
	say := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	if values, ok := s["enum"].([]any); ok && !slices.Contains(values, v) {
		say("%v is none of %v", v, values)
	}
	switch s["type"] {
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			say("%T is no object", v)
			return wrong
		}
		return append(wrong, objectViolations(s, m, at)...)
	case "array":
		list, ok := v.([]any)
		if !ok {
			say("%T is no list", v)
		}
		for i, item := range list {
			wrong = append(wrong, violations(s["items"], item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case "string":
		text, ok := v.(string)
		if !ok {
			say("%T is no string", v)
		}
		if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(text) {
			say("%q does not match %s", text, pattern)
		}
		if s["format"] == "date-time" {
			if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
				say("%q is no time", text)
			}
		}
	case "integer":
		if n, ok := v.(float64); !ok || n != float64(int64(n)) {
			say("%v is no integer", v)
		}
	case "number":
		if _, ok := v.(float64); !ok {
			say("%v is no number", v)
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			say("%v is neither true nor false", v)
		}
	}
	return wrong
}

func objectViolations(s, m map[string]any, at string) (wrong []string) {
	properties, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := m[name.(string)]; !ok {
			wrong = append(wrong, at+"."+name.(string)+" is missing")
		}
	}
	for name, value := range m {
		if p, ok := properties[name]; ok {
			wrong = append(wrong, violations(p, value, at+"."+name)...)
		} else if s["additionalProperties"] == nil || s["additionalProperties"] == false {
			wrong = append(wrong, at+"."+name+" is not in the contract")
		}
	}
	return wrong
}
