package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tachograph/schemas/journal"
)

const (
	goodRun  = "019ab000-0000-7000-8000-000000000001"
	goodHead = `{"v":1,"run":"` + goodRun + `","seq":7,"epoch":1,"time":"2026-11-23T18:24:00.000000000Z","agent":"/","kind":"call.expired"`
	goodBody = `,"body":{"call":5}`
)

var goodPrev = `,"prev":"sha256:` + strings.Repeat("ab", 32) + `"}`

// The same entry written in any other way is refused: there is one spelling.
func TestEntrySpelledOtherwise(t *testing.T) {
	t.Parallel()
	good := goodHead + goodBody + goodPrev
	if _, err := journal.Decode([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"field order":          {`"seq":7,"epoch":1`, `"epoch":1,"seq":7`},
		"doubled field":        {`"seq":7`, `"seq":7,"seq":7`},
		"doubled field at end": {`"prev"`, `"prev":"","prev"`},
		"field in other case":  {`"seq"`, `"Seq"`},
		"unknown field":        {`"agent"`, `"extra":1,"agent"`},
		"unknown last field":   {`"}`, `","x":1}`},
		"missing field":        {`"epoch":1,`, ``},
		"white space":          {`"seq":7`, `"seq": 7`},
		"space in front":       {`{"v"`, ` {"v"`},
		"space in the body":    {`{"call":5}`, `{"call":5 }`},
		"line feed at the end": {`"}`, "\"}\n"},
		"trailing bytes":       {`"}`, `"}{}`},
		"byte order mark":      {`{"v"`, "\ufeff{\"v\""},
		"NUL":                  {`{"v"`, "\x00{\"v\""},
		"escaped kind":         {`call.expired`, `call\u002eexpired`},
		"escaped slash":        {`"agent":"/"`, `"agent":"\/"`},
		"invalid UTF-8":        {`call.expired`, "call.\xff"},
		"upper-case kind":      {`call.expired`, `Call.expired`},
		"empty kind":           {`call.expired`, ``},
		"long kind":            {`call.expired`, strings.Repeat("k", 65)},
		"kind with a quote":    {`call.expired`, `a\"b`},
		"version 2":            {`"v":1`, `"v":2`},
		"version as text":      {`"v":1`, `"v":"1"`},
		"version 1.0":          {`"v":1`, `"v":1.0`},
		"version too large":    {`"v":1`, `"v":18446744073709551617`},
		"no run":               {goodRun, `00000000-0000-0000-0000-000000000000`},
		"upper-case run":       {goodRun, strings.ToUpper(goodRun)},
		"run without dashes":   {goodRun, strings.ReplaceAll(goodRun, "-", "")},
		"seq as a float":       {`"seq":7`, `"seq":7.0`},
		"seq with exponent":    {`"seq":7`, `"seq":7e0`},
		"seq with zero":        {`"seq":7`, `"seq":07`},
		"seq with sign":        {`"seq":7`, `"seq":+7`},
		"seq −0":               {`"seq":7`, `"seq":-0`},
		"negative seq":         {`"seq":7`, `"seq":-7`},
		"seq 2^53":             {`"seq":7`, `"seq":9007199254740992`},
		"epoch 0":              {`"epoch":1`, `"epoch":0`},
		"epoch 2^53":           {`"epoch":1`, `"epoch":9007199254740992`},
		"null epoch":           {`"epoch":1`, `"epoch":null`},
		"no nanoseconds":       {`00.000000000Z`, `00Z`},
		"milliseconds":         {`00.000000000Z`, `00.000Z`},
		"comma in the time":    {`00.000000000Z`, `00,000000000Z`},
		"time with zone":       {`00.000000000Z`, `00.000000000+00:00`},
		"time in lower case":   {`T18`, `t18`},
		"hour 24":              {`T18`, `T24`},
		"second 60":            {`24:00.`, `24:60.`},
		"31 November":          {`11-23`, `11-31`},
		"agent without slash":  {`"agent":"/"`, `"agent":"2"`},
		"agent ends in slash":  {`"agent":"/"`, `"agent":"/2/"`},
		"agent 0":              {`"agent":"/"`, `"agent":"/0"`},
		"agent 02":             {`"agent":"/"`, `"agent":"/02"`},
		"agent with two //":    {`"agent":"/"`, `"agent":"//2"`},
		"long agent":           {`"agent":"/"`, `"agent":"` + strings.Repeat("/1", 129) + `"`},
		"no body":              {goodBody, `,"body":`},
		"null body":            {goodBody, `,"body":null`},
		"body an array":        {goodBody, `,"body":[]`},
		"body a string":        {goodBody, `,"body":"{}"`},
		"body not closed":      {goodBody, `,"body":{"call":5`},
		"two bodies":           {goodBody, goodBody + `,"body":{}`},
		"doubled key in body":  {`{"call":5}`, `{"call":5,"call":5}`},
		"2^53 in body":         {`{"call":5}`, `{"call":9007199254740992}`},
		"float in body":        {`{"call":5}`, `{"call":5.0}`},
		"upper-case hash":      {strings.Repeat("ab", 32), strings.Repeat("AB", 32)},
		"short hash":           {strings.Repeat("ab", 32), strings.Repeat("ab", 31)},
		"zero hash":            {strings.Repeat("ab", 32), strings.Repeat("00", 32)},
		"other algorithm":      {"sha256:", "sha512:"},
		"no prev":              {`sha256:` + strings.Repeat("ab", 32), ``},
		"prev on seq 0":        {`"seq":7`, `"seq":0`},
		"null prev":            {`"sha256:` + strings.Repeat("ab", 32) + `"`, `null`},
	} {
		line := strings.Replace(good, change[0], change[1], 1)
		if strings.HasPrefix(change[0], `"}`) { // the end of the line
			line = strings.TrimSuffix(good, change[0]) + change[1]
		}
		if line == good {
			t.Fatalf("%s: nothing changed", name)
		}
		if e, err := journal.Decode([]byte(line)); err == nil {
			t.Errorf("%s: read as %+v", name, e)
		}
	}
	for _, line := range []string{"", "{", "{}", "null", "[]", strings.Repeat("[", 1000), goodHead, goodHead + goodBody} {
		if _, err := journal.Decode([]byte(line)); err == nil {
			t.Errorf("%.40q was read", line)
		}
	}
}

// What Decode would refuse, Encode does not write.
func TestEntryNotEncoded(t *testing.T) {
	t.Parallel()
	good := journal.Entry{Version: 1, Run: runID(1), Seq: 7, Epoch: 1, Time: began, Agent: "/2", Kind: "note.x",
		Body: json.RawMessage(`{"a":1}`), Prev: hash("before")}
	line, err := journal.Encode(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Decode(line); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*journal.Entry){
		"version":          func(e *journal.Entry) { e.Version = 2 },
		"run":              func(e *journal.Entry) { e.Run = journal.RunID{} },
		"seq":              func(e *journal.Entry) { e.Seq = -1 },
		"seq 2^53":         func(e *journal.Entry) { e.Seq = 1 << 53 },
		"epoch":            func(e *journal.Entry) { e.Epoch = 0 },
		"year 10000":       func(e *journal.Entry) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"year −1":          func(e *journal.Entry) { e.Time = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) },
		"agent":            func(e *journal.Entry) { e.Agent = "/2\"" },
		"kind":             func(e *journal.Entry) { e.Kind = "note.\xff" },
		"spaces":           func(e *journal.Entry) { e.Body = json.RawMessage(`{"a": 1}`) },
		"no JSON":          func(e *journal.Entry) { e.Body = json.RawMessage(`{"a":}`) },
		"invalid UTF-8":    func(e *journal.Entry) { e.Body = json.RawMessage("{\"a\":\"\xff\"}") },
		"no body":          func(e *journal.Entry) { e.Body = nil },
		"too large":        func(e *journal.Entry) { e.Body = bigNote(journal.MaxEntry) },
		"prev missing":     func(e *journal.Entry) { e.Prev = journal.Hash{} },
		"prev at the root": func(e *journal.Entry) { e.Seq = 0 },
	} {
		e := good
		change(&e)
		if line, err := journal.Encode(e); err == nil {
			t.Errorf("%s: encoded as %.200s", name, line)
		}
	}
	good.Body = bigNote(journal.MaxEntry - 300)
	if _, err := journal.Encode(good); err != nil {
		t.Errorf("just within the limit: %v", err)
	}
}

func bigNote(size int) json.RawMessage {
	return json.RawMessage(`{"a":"` + strings.Repeat("x", size) + `"}`)
}

// An entry is read back as it was, and keeps nothing of the line it was read from.
func TestEntryKeepsNothingOfItsLine(t *testing.T) {
	t.Parallel()
	line := []byte(goodHead + goodBody + goodPrev)
	e, err := journal.Decode(line)
	if err != nil {
		t.Fatal(err)
	}
	clear(line)
	again, err := journal.Encode(e)
	if err != nil || string(again) != goodHead+goodBody+goodPrev {
		t.Errorf("encoded again as %s, %v", again, err)
	}
}

// The rules for bodies hold for notes and unknown kinds too, which no struct describes.
func TestCanonicalBody(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	var many, twice strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, `,"key %d":%d`, i, i)
	}
	fmt.Fprintf(&twice, `%s,"key 17":0`, many.String())
	for body, ok := range map[string]bool{
		`{}`: true, `{"a":1,"b":[1,-2,{"a":null}],"c":true,"d":false,"e":""}`: true,
		`{"a":9007199254740991,"b":-9007199254740991}`:                       true,
		`{"a":"\" \\ \b \f \n \r \t \u0000 \u001f \u2028 \u2029 / ü 𝄞 <&>"}`: true,
		nested(63):                      true,
		`{` + many.String()[1:] + `}`:   true,
		`{"a":{"x":1},"b":{"x":1}}`:     true,
		``:                              false,
		`{`:                             false,
		`{"a"}`:                         false,
		`{"a":1,}`:                      false,
		`{,"a":1}`:                      false,
		`{"a":[1,]}`:                    false,
		`{"a":1}}`:                      false,
		`{"a":1} `:                      false,
		`{a:1}`:                         false,
		`{'a':1}`:                       false,
		`{"a":nul}`:                     false,
		`{"a":True}`:                    false,
		`{"a":NaN}`:                     false,
		`{"a":-}`:                       false,
		`{"a":--1}`:                     false,
		`{"a":01}`:                      false,
		`{"a":-0}`:                      false,
		`{"a":1.5}`:                     false,
		`{"a":1e3}`:                     false,
		`{"a":1E3}`:                     false,
		`{"a":0x1}`:                     false,
		`{"a":9007199254740992}`:        false,
		`{"a":-9007199254740992}`:       false,
		`{"a":99999999999999999999999}`: false,
		`{"a":1,"a":2}`:                 false,
		`{"a":{"b":1,"c":2,"b":3}}`:     false,
		`{` + twice.String()[1:] + `}`:  false,
		nested(65):                      false,
		nested(10_000):                  false,
		`{"a":"\/"}`:                    false,
		`{"a":"\u0041"}`:                false,
		`{"a":"\u000a"}`:                false,
		`{"a":"\u000A"}`:                false,
		`{"a":"\u001F"}`:                false,
		`{"a":"\u007f"}`:                false,
		`{"a":"\u003c"}`:                false,
		`{"a":"\ud834\udd1e"}`:          false,
		`{"a":"\u00"}`:                  false,
		`{"a":"\x41"}`:                  false,
		`{"a":"\`:                       false,
		"{\"a\":\"\n\"}":                false,
		"{\"a\":\"\u2028\"}":            false,
		"{\"a\":\"\xed\xa0\x80\"}":      false,
		"{\"a\":\"\xc0\xaf\"}":          false,
	} {
		for _, kind := range []journal.Kind{"note.x", "from.the.future"} {
			line := strings.Replace(goodHead, "call.expired", string(kind), 1) + `,"body":` + body + goodPrev
			if _, err := journal.Decode([]byte(line)); (err == nil) != ok {
				t.Errorf("%s %.80s: ok is to be %v: %v", kind, body, ok, err)
			}
		}
		if _, err := journal.DecodeBody("note.x", json.RawMessage(body)); (err == nil) != ok {
			t.Errorf("note %.80s: ok is to be %v: %v", body, ok, err)
		}
		if _, err := journal.EncodeBody(&journal.Note{Name: "note.x", Raw: json.RawMessage(body)}); (err == nil) != ok {
			t.Errorf("encode note %.80s: ok is to be %v: %v", body, ok, err)
		}
	}
}

// The rules are those of the encoder that writes our own bodies.
func TestCanonicalStringsAreWhatIsEncoded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for r := rune(0); r < 0x3000; r++ {
		b.WriteRune(r)
	}
	b.WriteString("\ufeff\ufffd\U0001d11e\U0010ffff")
	raw, err := journal.EncodeBody(&journal.AlarmRaised{Alarm: b.String()})
	if err != nil {
		t.Fatal(err)
	}
	body, err := journal.DecodeBody(journal.KindAlarmRaised, raw)
	if err != nil {
		t.Fatal(err)
	}
	if got := body.(*journal.AlarmRaised).Alarm; got != b.String() {
		t.Errorf("read back as %d bytes of %d", len(got), b.Len())
	}
}

// A body of a known kind has the fields of its struct, in their order, and no others.
func TestBodySpelledOtherwise(t *testing.T) {
	t.Parallel()
	h := hash("list").String()
	asked := `{"step":1,"attempt":1,"model":"m","kept":0,"new":[],"head":"","length":0,"frame":"","at":0,"state":"` + h + `","fold":1}`
	compacted := `{"kept":0,"new":[],"tail":0,"head":"` + h + `","length":0}`
	for _, c := range []struct {
		kind journal.Kind
		body string
		ok   bool
	}{
		{journal.KindModelAsked, asked, true},
		{journal.KindModelAsked, strings.Replace(asked, `"new":[]`, `"new":null`, 1), false},
		{journal.KindModelAsked, strings.Replace(asked, `"new":[],`, ``, 1), false},
		{journal.KindModelAsked, strings.Replace(asked, `"new":[]`, `"new":[null]`, 1), false},
		{journal.KindModelAsked, strings.Replace(asked, `"new":[]`, `"new":["`+strings.ToUpper(h)+`"]`, 1), false},
		{journal.KindModelAsked, strings.Replace(asked, `"step":1,"attempt":1`, `"attempt":1,"step":1`, 1), false},
		{journal.KindModelAsked, strings.Replace(asked, `"step"`, `"Step"`, 1), false},
		{journal.KindModelAsked, strings.Replace(asked, `"step":1`, `"step":"1"`, 1), false},
		{journal.KindModelAsked, strings.Replace(asked, `"step":1`, `"step":null`, 1), false},
		{journal.KindModelAsked, strings.Replace(asked, `"model":"m"`, `"model":null`, 1), false},
		{journal.KindModelAsked, strings.Replace(asked, `"model":"m"`, `"model":1`, 1), false},
		{journal.KindContextCompacted, compacted, true},
		{journal.KindContextCompacted, strings.Replace(compacted, `[]`, `null`, 1), false},
		{journal.KindResumed, `{}`, true},
		{journal.KindResumed, `{"by":""}`, false},
		{journal.KindResumed, `{"by":null}`, false},
		{journal.KindResumed, `{"why":""}`, false},
		{journal.KindResumed, `null`, false},
		{journal.KindResumed, `[]`, false},
		{journal.KindResumed, ``, false},
		{journal.KindRecovered, `{}`, true},
		{journal.KindRecovered, `{"doubt":[]}`, false},
		{journal.KindRecovered, `{"doubt":null}`, false},
		{journal.KindRecovered, `{"lost":[1],"doubt":[2]}`, false},
		{journal.KindTaskChanged, `{"task":1,"status":"open"}`, true},
		{journal.KindTaskChanged, `{"task":1,"status":"open","after":[]}`, true}, // none, not "as before"
		{journal.KindTaskChanged, `{"task":1,"status":"open","after":null}`, false},
		{journal.KindTaskChanged, `{"task":1,"status":"open","title":"x"}`, false},
		{journal.KindStopped, `{"now":true}`, true},
		{journal.KindStopped, `{"now":1}`, false},
		{journal.KindWorkspaceMerged, `{"from":"` + goodRun + `","from_root":"","root":"","files":0,"conflicts":0}`, true},
		{journal.KindWorkspaceMerged, `{"from":"","from_root":"","root":"","files":0,"conflicts":0}`, false},
		{"note.", `{}`, false},
		{"note.\xff", `{}`, false},
		{"note.x", `[]`, false},
	} {
		body, err := journal.DecodeBody(c.kind, json.RawMessage(c.body))
		if (err == nil) != c.ok {
			t.Errorf("%s %s: ok is to be %v, but %+v, %v", c.kind, c.body, c.ok, body, err)
		}
	}
	_, err := journal.DecodeBody("from.the.future", json.RawMessage(`{}`))
	if !errors.Is(err, journal.ErrUnknownKind) {
		t.Errorf("unknown kind: %v", err)
	}
}

// A list that is nil is written as one that is empty, so callers need not care.
func TestBodyNilList(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]journal.Body{
		{&journal.ModelAsked{}, &journal.ModelAsked{New: []journal.Ref{}}},
		{&journal.ContextCompacted{}, &journal.ContextCompacted{New: []journal.Ref{}}},
		{&journal.Recovered{}, &journal.Recovered{Doubt: []int64{}, Rerun: []int64{}, Lost: []int64{}}},
	} {
		a, err := journal.EncodeBody(pair[0])
		b, err2 := journal.EncodeBody(pair[1])
		if err != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s and %s (%v, %v)", a, b, err, err2)
		}
		if _, err := journal.DecodeBody(pair[0].Kind(), a); err != nil {
			t.Error(err)
		}
	}
}

func TestParseRunID(t *testing.T) {
	t.Parallel()
	id, err := journal.ParseRunID(goodRun)
	if err != nil || id != runID(1) || id.String() != goodRun {
		t.Errorf("%s, %v", id, err)
	}
	for _, text := range []string{"", goodRun[1:], goodRun + "0", strings.ToUpper(goodRun), "{" + goodRun[1:35] + "}",
		"urn:uuid:" + goodRun, strings.Replace(goodRun, "-", "_", 1), strings.Replace(goodRun, "0", "g", 1)} {
		if id, err := journal.ParseRunID(text); err == nil || !id.IsZero() {
			t.Errorf("%q: %s, %v", text, id, err)
		}
	}
}
