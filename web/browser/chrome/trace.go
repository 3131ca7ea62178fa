package chrome

import (
	"encoding/json"
)

// Event is one of Chromium's trace, in its own words. Times are microseconds on one clock.
type Event struct {
	Name     string          `json:"name"`
	Category string          `json:"cat"`
	Phase    string          `json:"ph"`
	At       float64         `json:"ts"`
	Took     float64         `json:"dur"`
	CPU      float64         `json:"tdur"` // of its thread, which a busy machine does not lengthen
	Process  int             `json:"pid"`
	Thread   int             `json:"tid"`
	Args     json.RawMessage `json:"args"`
}

// categories are those that say when something was painted, and when frames were drawn or missed.
var categories = []string{"loading", "blink.user_timing", "devtools.timeline", "devtools.timeline.frame", "disabled-by-default-devtools.timeline.frame", "benchmark", "cc", "toplevel"}

// Trace records what Chromium's own tracing says while act runs.
func (b *Browser) Trace(p *Page, act func() error) ([]Event, error) {
	b.tracing.Lock()
	b.traced = nil
	done := make(chan struct{})
	b.done = done
	b.tracing.Unlock()
	start := map[string]any{"transferMode": "ReportEvents", "traceConfig": map[string]any{"includedCategories": categories, "recordMode": "recordUntilFull", "traceBufferSizeInKb": 400_000}}
	if err := b.pipe.call(p.ctx, "", "Tracing.start", start, nil); err != nil {
		return nil, err
	}
	acted := act()
	if err := b.pipe.call(p.ctx, "", "Tracing.end", nil, nil); err != nil {
		return nil, err
	}
	select {
	case <-done:
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
	b.tracing.Lock()
	defer b.tracing.Unlock()
	return b.traced, acted
}

func (b *Browser) collect(params json.RawMessage) {
	var got struct {
		Value []Event `json:"value"`
	}
	if json.Unmarshal(params, &got) != nil {
		return
	}
	b.tracing.Lock()
	defer b.tracing.Unlock()
	b.traced = append(b.traced, got.Value...)
}
