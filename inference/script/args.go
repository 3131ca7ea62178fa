package script

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"go.yaml.in/yaml/v2"
)

// argsYAML is a call's arguments, in the order in which they were written: a model too writes them
// in an order, and what is played must be the same bytes each time.
type argsYAML struct{ fields yaml.MapSlice }

// UnmarshalYAML takes a mapping.
func (a *argsYAML) UnmarshalYAML(unmarshal func(any) error) error {
	return unmarshal(&a.fields)
}

// encode writes the arguments as a JSON object, the intent first.
func (a argsYAML) encode(intent *string) (string, error) {
	fields := a.fields
	if intent != nil {
		fields = append(yaml.MapSlice{{Key: "intent", Value: *intent}}, fields...)
	}
	var b bytes.Buffer
	if err := writeJSON(&b, fields, 0); err != nil {
		return "", fmt.Errorf("args: %w", err)
	}
	return b.String(), nil
}

// maxDepth bounds how deep arguments are nested: far above need, far below a stack's end.
const maxDepth = 100

// writeJSON writes what the YAML library makes of a value.
func writeJSON(b *bytes.Buffer, v any, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	if b.Len() > MaxBytes {
		return errors.New("larger than a script may be") // an alias that is used over and over
	}
	switch v := v.(type) {
	case yaml.MapSlice:
		return writeObject(b, v, depth)
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, e, depth+1); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%v is no JSON number", v)
		}
	case nil, string, bool, int, int64, uint64:
	default:
		return fmt.Errorf("a value of type %T: quote it", v)
	}
	return writeScalar(b, v)
}

func writeObject(b *bytes.Buffer, fields yaml.MapSlice, depth int) error {
	seen := make(map[string]bool, len(fields))
	b.WriteByte('{')
	for i, f := range fields {
		key, ok := f.Key.(string)
		if !ok {
			return fmt.Errorf("key %v is not text: quote it (y, n, yes, no, on, off are booleans in YAML 1.1)", f.Key)
		}
		if seen[key] {
			return fmt.Errorf("key %q twice", key)
		}
		seen[key] = true
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeScalar(b, key); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := writeJSON(b, f.Value, depth+1); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

// writeScalar writes < and > as they are, as models do.
func writeScalar(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the line feed that Encode adds
	return nil
}
