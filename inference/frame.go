package inference

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"

	"tachograph/schemas/chat"
)

// toolName is what all providers accept as one.
var toolName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$`)

// decimal is a JSON number without an exponent.
var decimal = regexp.MustCompile(`^(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// writeFrame writes
//
//	{"model":…,"messages":[ ← At → ],"tools":[…],members…}
//
// Members are written as they are, each `"name":value`. Without tools there is no member tools:
// some servers refuse an empty list.
func writeFrame(model string, tools []chat.Tool, members []string) (chat.Frame, error) {
	var b bytes.Buffer
	b.WriteString(`{"model":` + quote(model) + `,"messages":[`)
	at := b.Len()
	b.WriteString(`]`)
	for i, t := range tools {
		open := `,`
		if i == 0 {
			open = `,"tools":[`
		}
		b.WriteString(open)
		if err := writeTool(&b, t); err != nil {
			return chat.Frame{}, err
		}
	}
	if len(tools) > 0 {
		b.WriteString(`]`)
	}
	for _, m := range members {
		b.WriteString(`,` + m)
	}
	b.WriteString(`}`)
	return chat.Frame{Bytes: b.Bytes(), At: at}, nil
}

func writeTool(b *bytes.Buffer, t chat.Tool) error {
	if !toolName.MatchString(t.Name) {
		return fmt.Errorf("tool %q: a name is up to 64 letters, digits, _ and -, and begins with a letter or _", t.Name)
	}
	b.WriteString(`{"type":"function","function":{"name":` + quote(t.Name))
	b.WriteString(`,"description":` + quote(t.Description) + `,"parameters":`)
	if !bytes.HasPrefix(bytes.TrimLeft(t.Parameters, " \t\r\n"), []byte("{")) {
		return fmt.Errorf("tool %q: the parameters are no JSON object", t.Name)
	}
	if err := json.Compact(b, t.Parameters); err != nil {
		return fmt.Errorf("tool %q: parameters: %w", t.Name, err)
	}
	b.WriteString(`}}`)
	return nil
}

// members are the options as members of the request, in a fixed order.
func (v *vendor) members(o Options) ([]string, error) {
	m := []string{`"stream":true`, `"stream_options":{"include_usage":true}`}
	if o.Temperature != "" {
		t, err := strconv.ParseFloat(o.Temperature, 64)
		if err != nil || t > 2 || !decimal.MatchString(o.Temperature) {
			return nil, fmt.Errorf("temperature %q is no decimal between 0 and 2", o.Temperature)
		}
		m = append(m, `"temperature":`+o.Temperature)
	}
	if o.MaxTokens < 0 {
		return nil, fmt.Errorf("max tokens %d is negative", o.MaxTokens)
	}
	if o.MaxTokens > 0 { // max_tokens is deprecated by both vendors
		m = append(m, `"max_completion_tokens":`+strconv.FormatInt(o.MaxTokens, 10))
	}
	if o.Thinking != "" {
		member, ok := v.thinking[o.Thinking]
		if !ok {
			return nil, fmt.Errorf("thinking %q: %s knows %s", o.Thinking, v.name, v.thinkingWords())
		}
		m = append(m, member)
	}
	if o.CacheKey != "" {
		m = append(m, `"prompt_cache_key":`+quote(o.CacheKey))
	}
	return m, nil
}

// quote writes a JSON string with < and > as they are.
func quote(text string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		panic("inference: encode string: " + err.Error()) // a string always encodes
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
