package journal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tachograph/schemas/journal"
)

// A line that is read is the line that is written for what was read, and JSON that any reader takes
// for the same.
func FuzzDecode(f *testing.F) {
	for _, body := range fullBodies() {
		f.Add(entryOf(f, body))
	}
	f.Add([]byte(goodHead + goodBody + goodPrev))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := journal.Decode(line)
		if err != nil {
			return
		}
		again, err := journal.Encode(e)
		if err != nil || !bytes.Equal(again, line) {
			t.Fatalf("encoded again as %q, %v", again, err)
		}
		checkOtherReader(t, line, e)
	})
}

// checkOtherReader reads the line with encoding/json, which is laxer in everything.
func checkOtherReader(t *testing.T, line []byte, e journal.Entry) {
	t.Helper()
	var other struct {
		V     int             `json:"v"`
		Run   string          `json:"run"`
		Seq   int64           `json:"seq"`
		Epoch int64           `json:"epoch"`
		Time  time.Time       `json:"time"`
		Agent string          `json:"agent"`
		Kind  string          `json:"kind"`
		Body  json.RawMessage `json:"body"`
		Prev  string          `json:"prev"`
	}
	if err := json.Unmarshal(line, &other); err != nil {
		t.Fatalf("no JSON: %v", err)
	}
	if other.V != e.Version || other.Run != e.Run.String() || other.Seq != e.Seq || other.Epoch != e.Epoch || !other.Time.Equal(e.Time) ||
		other.Agent != e.Agent || other.Kind != string(e.Kind) || !bytes.Equal(other.Body, e.Body) || other.Prev != e.Prev.String() {
		t.Fatalf("read as %+v, by encoding/json as %+v", e, other)
	}
}

// A body that is read is written again as it was; one that is refused has said why. What is read, and
// whether it is, agrees with the definition: encoding/json reads it and would write the same.
func FuzzDecodeBody(f *testing.F) {
	_, bodies := goldenEntries(f)
	for _, b := range bodies {
		f.Add(string(b.Kind()), []byte(body(f, b)))
	}
	f.Add("run.started", regexp.MustCompile(`"results":\[.*?\]`).ReplaceAll(body(f, fullBodies()[0]), []byte(`"results":[]`)))
	f.Add("note.x", []byte(`{"a":[1,{"b":"\u2028"}]}`))
	f.Add("recovered", []byte(`{"doubt":[]}`))
	f.Add("task.changed", []byte(`{"task":1,"status":"a\"\\\n<","after":[]}`))
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		defined := definedBody(kind, raw)
		b, err := journal.DecodeBody(journal.Kind(kind), raw)
		switch {
		case strings.HasPrefix(kind, journal.NotePrefix), bigNumber.Match(raw): // beyond what a journal may hold
		case (err == nil) != (defined != nil):
			t.Fatalf("%v, by definition %v", err, defined)
		}
		if err != nil {
			return
		}
		if defined != nil && !reflect.DeepEqual(b, defined) {
			t.Fatalf("read as %+v, by definition %+v", b, defined)
		}
		if string(b.Kind()) != kind {
			t.Fatalf("read as %s", b.Kind())
		}
		again, err := journal.EncodeBody(b)
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("encoded again as %q, %v", again, err)
		}
		journal.Refs(b)
		journal.Objects(b)
		var other any
		if err := json.Unmarshal(raw, &other); err != nil {
			t.Fatalf("no JSON: %v", err)
		}
	})
}

var bigNumber = regexp.MustCompile(`\d{16}`)

// definedBody is the body that raw spells, nil if it spells none: what the format's definition says,
// without a thought for speed.
func definedBody(kind string, raw []byte) journal.Body {
	for _, b := range journal.Kinds() {
		if string(b.Kind()) != kind || json.Unmarshal(raw, b) != nil {
			continue
		}
		if again, err := journal.EncodeBody(b); err == nil && bytes.Equal(again, raw) {
			return b
		}
	}
	return nil
}

// Any line after a valid beginning is folded, or refused without a trace.
func FuzzApplyLine(f *testing.F) {
	told := story(f)
	for i, line := range told.lines {
		f.Add(byte(i), line)
	}
	states, imprints := statesOf(f, told)
	beginning, fork := forkStory(f)
	f.Add(byte(len(states)), fork.lines[0])
	states = append(states, journal.Start(beginning))
	imprints = append(imprints, imprint(states[len(states)-1]))
	f.Fuzz(func(t *testing.T, at byte, line []byte) {
		i := int(at) % len(states)
		s := states[i].Clone()
		if _, _, err := s.Apply(line); err != nil && imprint(s) != imprints[i] {
			t.Fatalf("changed by an entry that it refused: %v", err)
		}
	})
}

// Any body, in an entry that fits, with the right commitment: what the fold itself has to stand.
func FuzzApplyBody(f *testing.F) {
	told := story(f)
	for i, line := range told.lines {
		e, err := journal.Decode(line)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), e.Agent, string(e.Kind), []byte(e.Body))
	}
	f.Add(byte(5), "/", "task.changed", []byte(`{"task":1,"status":"<&>","agent":"/"}`)) // what HTML would escape
	states, imprints := statesOf(f, told)
	beginning, fork := forkStory(f)
	e, err := journal.Decode(fork.lines[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(len(states)), "/", string(e.Kind), []byte(e.Body))
	states = append(states, journal.Start(beginning))
	imprints = append(imprints, imprint(states[len(states)-1]))
	f.Fuzz(func(t *testing.T, at byte, agent, kind string, raw []byte) {
		b, err := journal.DecodeBody(journal.Kind(kind), raw)
		if err != nil || !journal.ValidAgent(agent) {
			return
		}
		i := int(at) % len(states)
		s, epoch := states[i].Clone(), states[i].Epoch+1 // takes in recovered too
		run := runID(1)
		if i == len(states)-1 { // of the fork
			run = runID(2)
		}
		line := draft(t, s, run, epoch, began.Add(time.Hour), agent, b)
		_, _, err = s.Apply(line)
		switch {
		case err != nil && imprint(s) != imprints[i]:
			t.Fatalf("changed by an entry that it refused: %v", err)
		case err == nil && specifiedHash(t, s) != s.Hash():
			t.Fatalf("hashes to %s, as specified to %s", s.Hash(), specifiedHash(t, s))
		case imprint(states[i]) != imprints[i]:
			t.Fatal("the original changed with its clone")
		}
	})
}

// statesOf are the states before each entry, and their imprints.
func statesOf(t testing.TB, told *recorder) (states []*journal.State, imprints []string) {
	t.Helper()
	s := journal.Start(nil)
	for _, line := range told.lines {
		states, imprints = append(states, s.Clone()), append(imprints, imprint(s))
		if _, _, err := s.Apply(line); err != nil {
			t.Fatal(err)
		}
	}
	return append(states, s), append(imprints, imprint(s))
}

// A head that is opened signs to the same text.
func FuzzOpenHead(f *testing.F) {
	worker := workerKey(f, "worker")
	f.Add(sign(f, someHead(), worker))
	f.Add(sign(f, someHead(), worker, workerKey(f, "witness")))
	f.Add([]byte("a/run/b\n1\n\nstate \n\n— worker AAAA\n"))
	known := note.VerifierList(worker.verifier)
	f.Fuzz(func(t *testing.T, signed []byte) {
		h, n, err := journal.OpenHead(signed, known)
		if err != nil {
			return
		}
		again, err := journal.SignHead(h, worker.signer)
		if err != nil || !strings.HasPrefix(string(again), n.Text+"\n") {
			t.Fatalf("%+v is signed as %q, %v", h, again, err)
		}
	})
}

// A checkpoint of hostile chunks, each under its right name, is loaded or refused; what was loaded
// can be used.
func FuzzLoadCheckpoint(f *testing.F) {
	told := story(f)
	store := chunks{}
	record, _ := store.save(f, told.state)
	var names struct{ Agents, Tasks []journal.Hash }
	if err := json.Unmarshal(record, &names); err != nil {
		f.Fatal(err)
	}
	agent, task := store[names.Agents[0]], store[names.Tasks[0]]
	text := strings.ReplaceAll(string(record), names.Agents[0].String(), "AGENT")
	text = strings.ReplaceAll(text, names.Tasks[0].String(), "TASK")
	f.Add([]byte(text), agent, task, []byte{})
	f.Add([]byte(`{"v":2,"fold":1,"agents":["AGENT","AGENT"],"tasks":["TASK"],"marks":[{"Agents":["AGENT"],"Tasks":["TASK","TASK"]}]}`),
		[]byte(`{"Agent":{"path":"/","head":"HEAD","length":256},"Blocks":"BLOCK","Before":"HEAD","Tail":""}`), task, make([]byte, 257*32))
	last := told.lines[len(told.lines)-1]
	f.Fuzz(func(t *testing.T, record, agent, task, block []byte) {
		hostile := chunks{}
		for n, b := range store {
			hostile[n] = b
		}
		put := func(b []byte) journal.Hash {
			name := journal.Hash(journal.NameObject(b))
			hostile[name] = b
			return name
		}
		name := put(block)
		agent = bytes.ReplaceAll(agent, []byte("BLOCK"), base64.StdEncoding.AppendEncode(nil, name[:]))
		if len(block) == 257*journal.HashSize { // so that a list of one block may be right
			agent = bytes.ReplaceAll(agent, []byte("HEAD"), []byte(headAfter(block).String()))
		}
		record = bytes.ReplaceAll(record, []byte("AGENT"), []byte(put(agent).String()))
		record = bytes.ReplaceAll(record, []byte("TASK"), []byte(put(task).String()))
		s, err := journal.LoadCheckpoint(record, hostile.read)
		if err != nil {
			return
		}
		before := imprint(s)
		if _, _, err := s.Apply(last); err != nil && imprint(s) != before {
			t.Fatalf("changed by an entry that it refused: %v", err)
		}
		journal.Start(s)
		s.Target()
		if s.ReadLists() != nil {
			return
		}
		for _, a := range s.Agents() {
			refs, err := a.List.Refs(0, a.List.Len())
			if err != nil || naiveHead(refs) != a.List.Head() {
				t.Fatalf("list %s of %d was proved, and is another (%v)", a.List.Head(), a.List.Len(), err)
			}
		}
	})
}

// headAfter is the head after a block of a list, from its chunk.
func headAfter(block []byte) journal.Hash {
	head := journal.Hash(block)
	for refs := block[journal.HashSize:]; len(refs) > 0; refs = refs[journal.HashSize:] {
		link := append([]byte("tacho-list-v1\n"), head[:]...)
		head = sha256.Sum256(append(link, refs[:journal.HashSize]...))
	}
	return head
}

func FuzzParseRunID(f *testing.F) {
	f.Add(goodRun)
	f.Add(strings.ToUpper(goodRun))
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := journal.ParseRunID(text); err == nil && id.String() != text {
			t.Fatalf("%q is read as %s", text, id)
		}
	})
}
