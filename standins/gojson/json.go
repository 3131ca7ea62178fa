// Package json stands in for github.com/goccy/go-json, of which Arrow needs these names to print arrays as JSON. Nothing here does
// that, and compiling it costs a cold build 35 s of CPU; encoding/json, which it imitates, is compiled anyway.
package json

import (
	"encoding/json"
	"io"
)

type (
	Decoder            = json.Decoder
	Encoder            = json.Encoder
	Marshaler          = json.Marshaler
	Unmarshaler        = json.Unmarshaler
	Delim              = json.Delim
	Number             = json.Number
	RawMessage         = json.RawMessage
	UnmarshalTypeError = json.UnmarshalTypeError
)

func Marshal(v any) ([]byte, error)        { return json.Marshal(v) }
func Unmarshal(data []byte, v any) error   { return json.Unmarshal(data, v) }
func NewDecoder(r io.Reader) *json.Decoder { return json.NewDecoder(r) }
func NewEncoder(w io.Writer) *json.Encoder { return json.NewEncoder(w) }
