package journal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/schemas/journal"
)

// fullBodies has one body of every kind, with every field set, and a note.
func fullBodies() []journal.Body {
	return []journal.Body{
		&journal.RunStarted{Spec: ref("spec"), Goal: ref("goal"), Model: "kimi/kimi-k2.6", Family: runID(1),
			Parent:  &journal.Parent{Run: runID(1), Seq: 41, Entry: hash("entry 41"), State: hash("state 41")},
			Results: []journal.GivenResult{{Call: 38, Message: ref("another result")}, {Call: 40, Message: ref("and another")}},
			Turn:    ref("turn"), Message: ref("message"), By: ref("ada"), Base: object("base"), Root: object("root"), LeftOut: 7,
			Policy: ref("policy"), Sandbox: "1", Limits: fullLimits()},
		&journal.RunEnded{Outcome: "failed", Reason: ref("reason"), Root: object("root"), Commit: fullCommit()},
		&journal.Intent{Text: ref("to find the bug"), Source: "declared"},
		&journal.ModelAsked{Step: 14, Attempt: 2, Model: "kimi/kimi-k2.6", Kept: 27, New: []journal.Ref{ref("result"), ref("note")},
			Head: hash("head"), Length: 29, Frame: ref("frame"), At: 1187, Commit: fullCommit()},
		&journal.ModelAnswered{Asked: 90, Status: "failed", Message: ref("message"), Raw: ref("raw"), Error: ref("error"),
			Finish: "tool_calls", Calls: 2, Tokens: journal.Tokens{Input: 18_400, Cached: 18_000, Output: 310, Reasoning: 120},
			Estimated: true, CostNUSD: 11_250_000, Priced: true},
		&journal.CallProposed{Step: 14, Index: 1, Tool: "bash", Args: ref("args"), Intent: 92, Effect: "write", Scope: "workspace",
			Idempotent: true, Targets: ref("targets")},
		&journal.CallDecided{Call: 93, Decision: "deny", Engine: "cedar", Policy: ref("policy"), Reasons: ref("reasons"), Errors: 1},
		&journal.CallHeld{Call: 93, Why: "policy", Until: "2026-11-24T00:00:00Z"},
		&journal.CallApproved{Call: 93, Proposed: hash("entry 93"), Policy: ref("policy"), Root: object("root"), By: ref("ada"),
			Reason: ref("looks right")},
		&journal.CallRefused{Call: 93, By: ref("ada"), Reason: ref("not today")},
		&journal.CallExpired{Call: 93},
		&journal.CallStarted{Call: 93, Attempt: 1, Root: object("root"), Key: "0f5c", Commit: fullCommit()},
		&journal.CallEnded{Call: 93, Status: "error", Exit: 2, Message: ref("message"), Output: ref("output"), Session: ref("session"),
			Root: object("root after"), Delta: ref("delta"), Files: 3, Added: 12, Removed: 4, LeftOut: 7, Observed: "write",
			MicroSec: 152_340},
		&journal.ContextCompacted{Kept: 2, New: []journal.Ref{ref("[dropped]")}, Tail: 12, Head: hash("head"), Length: 15},
		&journal.TaskChanged{Task: 3, Status: "running", Title: ref("mend"), Agent: "/2", After: []int64{1, 2}, Result: ref("done")},
		&journal.AgentSpawned{Path: "/2/1", Goal: ref("look closely"), Model: "local/tiny-moe", Task: 3},
		&journal.AgentEnded{Path: "/2/1", Outcome: "done", Result: ref("found")},
		&journal.MessageSent{To: "/2", Body: ref("where are you?")},
		&journal.MessageReceived{Sent: 97},
		&journal.WorkspaceTouched{By: "person", Root: object("root"), Delta: ref("delta"), Files: 1},
		&journal.WorkspaceMerged{From: runID(2), FromRoot: object("theirs"), Root: object("ours"), Delta: ref("delta"), Files: 5, Conflicts: 1},
		&journal.Checkpoint{Root: object("root"), Commit: fullCommit()},
		&journal.Snapshot{Why: "interval", Root: object("root"), LeftOut: 7, Commit: fullCommit()},
		&journal.RolledBack{To: 60, Root: object("root"), Message: ref("undone"), Reason: ref("the check did not pass")},
		&journal.Paused{Why: "asked", By: ref("ada")},
		&journal.Resumed{By: ref("ada")},
		&journal.Stopped{By: ref("ada"), Now: true},
		&journal.Recovered{Doubt: []int64{93}, Rerun: []int64{94, 95}, Lost: []int64{96}},
		&journal.AlarmRaised{Alarm: "disk.full", Reason: ref("98 %"), Hold: true},
		&journal.PolicyChanged{Policy: ref("policy 2"), By: ref("ada")},
		&journal.LimitChanged{Limits: fullLimits(), By: ref("ada")},
		&journal.Note{Name: "note.review", Raw: json.RawMessage(`{"by":"audit","marks":[1,-2],"text":"läuft \"gut\"\n\u2028"}`)},
	}
}

func fullLimits() journal.Limits {
	return journal.Limits{Steps: 8000, Tokens: 40_000_000, CostNUSD: 25_000_000_000, Seconds: 86_400}
}

func fullCommit() journal.Commit {
	return journal.Commit{State: hash("state"), Fold: journal.FoldVersion}
}

// minimal is the body without the fields that may be absent; ok is false if it has none such.
func minimal(body journal.Body) (least journal.Body, ok bool) {
	if _, note := body.(*journal.Note); note {
		return nil, false
	}
	v := reflect.New(reflect.TypeOf(body).Elem()).Elem()
	v.Set(reflect.ValueOf(body).Elem())
	for i := range v.NumField() {
		if strings.Contains(v.Type().Field(i).Tag.Get("json"), ",omit") {
			v.Field(i).SetZero()
			ok = true
		}
	}
	return v.Addr().Interface().(journal.Body), ok
}

func entryOf(t testing.TB, body journal.Body) []byte {
	t.Helper()
	raw, err := journal.EncodeBody(body)
	if err != nil {
		t.Fatal(err)
	}
	e := journal.Entry{Version: 1, Run: runID(1), Seq: 98, Epoch: 2, Time: began, Agent: "/2/1", Kind: body.Kind(), Body: raw, Prev: hash("entry 97")}
	if body.Kind() == journal.KindRunStarted {
		e.Seq, e.Agent, e.Prev = 0, "/", journal.Hash{}
	}
	line, err := journal.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// goldenEntries are the entries of testdata/kinds by the name of their file.
func goldenEntries(t testing.TB) (names []string, bodies map[string]journal.Body) {
	t.Helper()
	bodies = map[string]journal.Body{}
	for _, full := range fullBodies() {
		name := string(full.Kind()) + ".v1.json"
		names, bodies[name] = append(names, name), full
		if least, ok := minimal(full); ok {
			name := string(full.Kind()) + ".min.v1.json"
			names, bodies[name] = append(names, name), least
		}
	}
	return names, bodies
}

// A kind's golden file binds whoever reads a journal: an entry written today must keep its bytes,
// its hash and its meaning.
func TestGoldenKinds(t *testing.T) {
	t.Parallel()
	names, bodies := goldenEntries(t)
	var hashes strings.Builder
	for _, name := range names {
		line := entryOf(t, bodies[name])
		golden := readGolden(t, filepath.Join("kinds", name), append(line, '\n'))
		stored := bytes.TrimSuffix(golden, []byte("\n"))
		fmt.Fprintf(&hashes, "%s  %s\n", journal.HashEntry(stored), name)
		if diff := cmp.Diff(string(stored), string(line)); diff != "" {
			t.Errorf("%s is encoded otherwise (-stored +encoded):\n%s", name, diff)
		}
		checkGoldenEntry(t, name, stored, bodies[name])
	}
	if diff := cmp.Diff(string(readGolden(t, "kinds/hashes.txt", []byte(hashes.String()))), hashes.String()); diff != "" {
		t.Errorf("hashes (-stored +computed):\n%s", diff)
	}
	checkNoOtherGolden(t, names)
}

// checkGoldenEntry decodes a stored line and encodes it again.
func checkGoldenEntry(t *testing.T, name string, stored []byte, want journal.Body) {
	t.Helper()
	e, err := journal.Decode(stored)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	body, err := journal.DecodeBody(e.Kind, e.Body)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("%s: body (-written +read):\n%s", name, diff)
	}
	if again := entryOf(t, body); !bytes.Equal(again, stored) {
		t.Errorf("%s: encoded again as\n%s", name, again)
	}
}

// A golden file of a kind that is gone would be a format that nobody reads any more.
func checkNoOtherGolden(t *testing.T, names []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/kinds/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(names) {
		t.Errorf("%d files in testdata/kinds, %d are due: add to fullBodies, or keep the old format's reader and test", len(files), len(names))
	}
}

// Every kind has a body in fullBodies, and every field of it is set: a field that were left zero
// would not be seen in the golden file.
func TestGoldenKindsAreWhole(t *testing.T) {
	t.Parallel()
	full := map[journal.Kind]journal.Body{}
	for _, body := range fullBodies() {
		full[body.Kind()] = body
	}
	for _, empty := range journal.Kinds() {
		body := full[empty.Kind()]
		if body == nil {
			t.Errorf("no golden body of %s", empty.Kind())
			continue
		}
		if reflect.TypeOf(body) != reflect.TypeOf(empty) {
			t.Errorf("%s is %T and %T", empty.Kind(), body, empty)
		}
		for _, field := range zeroFields(reflect.ValueOf(body).Elem()) {
			t.Errorf("golden body of %s leaves %s zero", body.Kind(), field)
		}
	}
	if len(full) != len(journal.Kinds())+1 {
		t.Errorf("%d golden bodies, %d kinds and a note", len(full), len(journal.Kinds()))
	}
}

func zeroFields(v reflect.Value) (names []string) {
	for i := range v.NumField() {
		field, name := v.Field(i), v.Type().Field(i).Name
		if field.IsZero() {
			names = append(names, name)
		}
		if field.Kind() == reflect.Pointer && !field.IsNil() {
			field = field.Elem()
		}
		if field.Kind() == reflect.Struct {
			for _, inner := range zeroFields(field) {
				names = append(names, name+"."+inner)
			}
		}
	}
	return names
}

// Content is found by the types of a body's fields, in their order, and nowhere else.
func TestRefs(t *testing.T) {
	t.Parallel()
	text := ref("a name in a note").String()
	for _, c := range []struct {
		body    journal.Body
		refs    []journal.Ref
		objects []journal.Object
	}{
		{&journal.ModelAsked{New: []journal.Ref{ref("a"), ref("b")}, Frame: ref("frame"), Head: hash("no reference")},
			[]journal.Ref{ref("a"), ref("b"), ref("frame")}, nil},
		{&journal.CallEnded{Message: ref("m"), Root: object("r"), Delta: ref("d")}, []journal.Ref{ref("m"), ref("d")}, []journal.Object{object("r")}},
		{&journal.WorkspaceMerged{FromRoot: object("a"), Root: object("b")}, nil, []journal.Object{object("a"), object("b")}},
		{&journal.RunStarted{Parent: &journal.Parent{State: hash("no reference")}, Model: text}, nil, nil},
		{&journal.Note{Name: "note.x", Raw: json.RawMessage(`{"ref":"` + text + `"}`)}, nil, nil},
	} {
		if diff := cmp.Diff(c.refs, journal.Refs(c.body)); diff != "" {
			t.Errorf("references of %s (-want +got):\n%s", c.body.Kind(), diff)
		}
		if diff := cmp.Diff(c.objects, journal.Objects(c.body)); diff != "" {
			t.Errorf("objects of %s (-want +got):\n%s", c.body.Kind(), diff)
		}
	}
}

// readGolden reads testdata/name, after writing it if the test runs with -update.
func readGolden(t testing.TB, name string, now []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", filepath.FromSlash(name))
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, now, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}
