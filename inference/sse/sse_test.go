package sse_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"tachograph/inference/sse"
)

type event struct{ Name, Data string }

// readAll reads until an error, which io.EOF is too.
func readAll(r io.Reader, limit int) (events []event, err error) {
	in := sse.NewReader(r, limit)
	for {
		e, err := in.Next()
		if err != nil {
			return events, err
		}
		events = append(events, event{e.Name, string(e.Data)})
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in   string
		want []event
	}{
		"empty":                   {"", nil},
		"one":                     {"data: a\n\n", []event{{"", "a"}}},
		"no space":                {"data:a\n\n", []event{{"", "a"}}},
		"one space only":          {"data:  a\n\n", []event{{"", " a"}}},
		"crlf":                    {"data: a\r\n\r\ndata: b\r\n\r\n", []event{{"", "a"}, {"", "b"}}},
		"cr":                      {"data: a\r\rdata: b\r\r", []event{{"", "a"}, {"", "b"}}},
		"mixed ends":              {"data: a\r\n\ndata: b\n\r\n", []event{{"", "a"}, {"", "b"}}},
		"comments":                {": hello\n\n:\ndata: a\n: between\ndata: b\n\n", []event{{"", "a\nb"}}},
		"several data":            {"data: a\ndata\ndata: c\n\n", []event{{"", "a\n\nc"}}},
		"empty data":              {"data\n\n", []event{{"", ""}}},
		"name":                    {"event: error\ndata: a\n\ndata: b\n\n", []event{{"error", "a"}, {"", "b"}}},
		"name without data":       {"event: ping\n\ndata: b\n\n", []event{{"", "b"}}},
		"other fields":            {"id: 1\nretry: 5\nfoo: bar\ndata: a\n\n", []event{{"", "a"}}},
		"byte order mark":         {"\xef\xbb\xbfdata: a\n\n", []event{{"", "a"}}},
		"cut before blank line":   {"data: a\n\ndata: b\n", []event{{"", "a"}, {"", "b"}}},
		"cut before line end":     {"data: a\n\ndata: b", []event{{"", "a"}, {"", "b"}}},
		"cut in a field's name":   {"data: a\n\nda", []event{{"", "a"}}},
		"colons in the value":     {"data: {\"a\":\"b: c\"}\n\n", []event{{"", `{"a":"b: c"}`}}},
		"a page that is no sse":   {"<html>\n<body>data: a</body>\n\n</html>", nil},
		"nothing but blank lines": {"\n\r\n\r\r\n", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, in := range map[string]io.Reader{
				"at once":      strings.NewReader(tc.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tc.in)),
			} {
				got, err := readAll(in, 1<<10)
				if !errors.Is(err, io.EOF) {
					t.Errorf("%s: error %v, want io.EOF", how, err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", how, diff)
				}
			}
		})
	}
}

func TestNextRefusesLongEvents(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"line without end": "data: " + strings.Repeat("x", 100),
		"line":             "data: " + strings.Repeat("x", 100) + "\n\n",
		"comment":          ":" + strings.Repeat("x", 100) + "\n",
		"many data lines":  strings.Repeat("data: xxxxxxxx\n", 10),
		"empty data lines": strings.Repeat("data\n", 100) + "\n",
	} {
		if _, err := readAll(strings.NewReader(in), 64); !errors.Is(err, sse.ErrTooLong) {
			t.Errorf("%s: error %v, want ErrTooLong", name, err)
		}
	}
}

func TestNextDoesNotWaitAfterCR(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	in := sse.NewReader(r, 64)
	go w.Write([]byte("data: a\r\r"))
	e, err := in.Next() // would block for ever if it looked for the line feed
	if err != nil || string(e.Data) != "a" {
		t.Fatalf("got %q, %v", e.Data, err)
	}
	w.Close()
}

func TestNextReturnsTheReadersError(t *testing.T) {
	t.Parallel()
	cut := errors.New("cut")
	in := io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"), iotest.ErrReader(cut))
	got, err := readAll(in, 64)
	if !errors.Is(err, cut) {
		t.Errorf("error %v, want %v", err, cut)
	}
	if diff := cmp.Diff([]event{{"", "a"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzNext holds that no input makes an event above the limit, that pieces do not matter, and that
// what was read, written again, reads the same.
func FuzzNext(f *testing.F) {
	for _, s := range []string{
		"data: a\n\n", "data:a\r\ndata\r\rdata: [DONE]", ":c\nevent: e\ndata: {}\n\n", "\xef\xbb\xbfdata: x\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 48
		got, err := readAll(bytes.NewReader(in), limit)
		pieces, err2 := readAll(iotest.OneByteReader(bytes.NewReader(in)), limit)
		if errors.Is(err, io.EOF) != errors.Is(err2, io.EOF) {
			t.Fatalf("at once: %v, byte by byte: %v", err, err2)
		}
		if diff := cmp.Diff(got, pieces); diff != "" {
			t.Fatalf("pieces matter:\n%s", diff)
		}
		var again strings.Builder
		for _, e := range got {
			if len(e.Data) > limit {
				t.Fatalf("event of %d bytes", len(e.Data))
			}
			again.WriteString("event: " + e.Name + "\n")
			for line := range strings.SplitSeq(e.Data, "\n") {
				again.WriteString("data: " + line + "\n")
			}
			again.WriteString("\n")
		}
		back, err := readAll(strings.NewReader(again.String()), 2*limit)
		if !errors.Is(err, io.EOF) {
			t.Fatalf("read again: %v", err)
		}
		if diff := cmp.Diff(got, back); diff != "" {
			t.Fatalf("read again (-first +second):\n%s", diff)
		}
	})
}
