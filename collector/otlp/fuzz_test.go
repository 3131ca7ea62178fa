package otlp

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// small are limits that a fuzzed body, which is short, must stay within in every way.
var small = Limits{Records: 10_000, Values: 100_000, Objects: 100_000}

// seed gives a fuzzer the recorded requests of a signal, as protobuf and as JSON.
func seed(f *testing.F, signal Signal) {
	for _, suffix := range []string{signal.String() + ".pb", signal.String() + ".json"} {
		if signal != Traces && suffix == signal.String()+".json" {
			continue
		}
		for _, body := range captures(f, suffix) {
			if len(body) > 20_000 {
				continue // mutating long bodies is slow; the short ones have every field
			}
			f.Add(body, false)
		}
	}
	full, err := ptraceotlp.NewExportRequestFromTraces(fullTraces()).MarshalProto()
	if err != nil {
		f.Fatal(err)
	}
	text, err := ptraceotlp.NewExportRequestFromTraces(fullTraces()).MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full, false)
	f.Add(text, true)
	f.Add([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1","body":{"intValue":"5"},"unknown":{"x":[1]}}]}]}]}`), true)
	f.Add([]byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"asInt":"5","timeUnixNano":1}]}}]}]}]}`), true)
}

// normal is a fuzzed body as protobuf, if it is a request at all.
func normal(signal Signal, body []byte, asJSON bool) ([]byte, bool) {
	if !asJSON {
		return body, true
	}
	body, _, err := FromJSON(signal, body, small)
	return body, err == nil
}

// FuzzTraces: what pdata can read we read in the same way; nothing makes us crash.
func FuzzTraces(f *testing.F) {
	seed(f, Traces)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		body, ok := normal(Traces, body, asJSON)
		if !ok {
			return
		}
		got, err := sayTraces(body, small)
		req := ptraceotlp.NewExportRequest()
		if !readable(func() error { return req.UnmarshalProto(body) }) {
			return
		}
		if errors.Is(err, ErrMalformed) {
			// pdata passes over broken groups and field numbers that protobuf does not have. What it read, written
			// properly, is read.
			if body, err = req.MarshalProto(); err != nil {
				t.Fatal(err)
			}
			got, err = sayTraces(body, small)
		}
		if err != nil {
			t.Fatalf("pdata reads %x, we say: %v", body, err)
		}
		if diff := cmp.Diff(sayPdataTraces(req.Traces()), got); diff != "" {
			t.Fatalf("%x is read in another way than by pdata (- pdata, + ours):\n%s", body, diff)
		}
	})
}

// FuzzLogs does the same for logs.
func FuzzLogs(f *testing.F) {
	seed(f, Logs)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		body, ok := normal(Logs, body, asJSON)
		if !ok {
			return
		}
		got, err := sayLogs(body, small)
		req := plogotlp.NewExportRequest()
		if !readable(func() error { return req.UnmarshalProto(body) }) {
			return
		}
		if errors.Is(err, ErrMalformed) {
			// pdata passes over broken groups and field numbers that protobuf does not have. What it read, written
			// properly, is read.
			if body, err = req.MarshalProto(); err != nil {
				t.Fatal(err)
			}
			got, err = sayLogs(body, small)
		}
		if err != nil {
			t.Fatalf("pdata reads %x, we say: %v", body, err)
		}
		if diff := cmp.Diff(sayPdataLogs(req.Logs()), got); diff != "" {
			t.Fatalf("%x is read in another way than by pdata (- pdata, + ours):\n%s", body, diff)
		}
	})
}

// FuzzMetrics: what passes the census has as many points as were counted.
func FuzzMetrics(f *testing.F) {
	seed(f, Metrics)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		body, ok := normal(Metrics, body, asJSON)
		if !ok {
			return
		}
		counted := reader{limits: small.WithDefaults()}
		if counted.census(body, shapeMetrics, 0) != nil {
			return
		}
		got, err := ReadMetrics(body, small)
		if err != nil {
			return
		}
		if got.DataPointCount() > counted.records {
			t.Fatalf("%x has %d data points, %d were counted", body, got.DataPointCount(), counted.records)
		}
		if _, err := pmetricotlp.NewExportRequestFromMetrics(got).MarshalProto(); err != nil {
			t.Fatal(err)
		}
	})
}

// readable says whether pdata takes a body. It may panic on damaged ones, which is its affair here: in the
// product only metrics reach it as they came, after the census.
func readable(unmarshal func() error) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return unmarshal() == nil
}
