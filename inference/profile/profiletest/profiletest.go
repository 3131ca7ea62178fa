// Package profiletest is a Pyroscope server for tests: it takes uploads on loopback as the real one does
// (POST /ingest, multipart, pprof), reads the labels of their samples, and stores nothing.
package profiletest

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// Upload is one request to a Pyroscope server.
type Upload struct {
	Name    string // of the application, with its tags
	Header  http.Header
	Samples []map[string]string // the labels of each
}

// Open starts a server that hands on what it receives, until the test ends.
func Open(t testing.TB) (address string, uploads chan Upload) {
	t.Helper()
	uploads = make(chan Upload, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, err := readUpload(r)
		if err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		uploads <- u
	}))
	t.Cleanup(s.Close)
	return s.URL + "/base", uploads
}

func readUpload(r *http.Request) (Upload, error) {
	if r.Method != http.MethodPost || r.URL.Path != "/base/ingest" {
		return Upload{}, errors.New("not an upload")
	}
	f, _, err := r.FormFile("profile")
	if err != nil {
		return Upload{}, err
	}
	zipped, err := gzip.NewReader(f)
	if err != nil {
		return Upload{}, err
	}
	text, err := io.ReadAll(zipped)
	if err != nil {
		return Upload{}, err
	}
	samples, err := labels(text)
	return Upload{r.URL.Query().Get("name"), r.Header.Clone(), samples}, err
}

// labels are those of the samples of a pprof profile (github.com/google/pprof, profile.proto): field
// 2 of a Profile is a Sample, 6 a text of its table; field 3 of a Sample is a Label, whose fields 1
// and 2 are places in the table.
func labels(profile []byte) ([]map[string]string, error) {
	var table []string
	var samples [][][2]uint64
	err := fields(profile, func(n protowire.Number, _ uint64, value []byte) error {
		switch n {
		case 2:
			var pairs [][2]uint64
			err := fields(value, func(n protowire.Number, _ uint64, label []byte) error {
				if n != 3 {
					return nil
				}
				var pair [2]uint64
				pairs = append(pairs, pair)
				return fields(label, func(n protowire.Number, number uint64, _ []byte) error {
					if n == 1 || n == 2 {
						pairs[len(pairs)-1][n-1] = number
					}
					return nil
				})
			})
			samples = append(samples, pairs)
			return err
		case 6:
			table = append(table, string(value))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var named []map[string]string
	for _, pairs := range samples {
		m := map[string]string{}
		for _, p := range pairs {
			if max(p[0], p[1]) >= uint64(len(table)) {
				return nil, errors.New("a label outside the table")
			}
			m[table[p[0]]] = table[p[1]]
		}
		named = append(named, m)
	}
	return named, nil
}

// fields calls see for the fields of a message; number is that of a varint.
func fields(message []byte, see func(n protowire.Number, number uint64, value []byte) error) error {
	for len(message) > 0 {
		n, kind, used := protowire.ConsumeTag(message)
		if used < 0 {
			return protowire.ParseError(used)
		}
		message = message[used:]
		var number uint64
		var value []byte
		switch kind {
		case protowire.VarintType:
			number, used = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			value, used = protowire.ConsumeBytes(message)
		default:
			used = protowire.ConsumeFieldValue(n, kind, message)
		}
		if used < 0 {
			return protowire.ParseError(used)
		}
		message = message[used:]
		if err := see(n, number, value); err != nil {
			return err
		}
	}
	return nil
}
