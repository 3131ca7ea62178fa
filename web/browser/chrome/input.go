package chrome

import (
	"encoding/json"
	"fmt"
)

// keys that write nothing, with the code that Windows once gave them, which the protocol still wants.
var keys = map[string]int{
	"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35,
	"PageUp": 33, "PageDown": 34, "Backspace": 8, "Delete": 46, " ": 32,
}

// Press presses keys one after another: names as "Enter", or what they write.
func (p *Page) Press(names ...string) error {
	for _, name := range names {
		down := map[string]any{"type": "keyDown", "key": name, "text": name}
		if code, ok := keys[name]; ok {
			down["windowsVirtualKeyCode"], down["code"] = code, name
			down["type"] = "rawKeyDown"
			delete(down, "text")
			if name == "Enter" {
				down["type"], down["text"] = "keyDown", "\r"
			}
		}
		if err := p.call("Input.dispatchKeyEvent", down, nil); err != nil {
			return err
		}
		delete(down, "text")
		down["type"] = "keyUp"
		if err := p.call("Input.dispatchKeyEvent", down, nil); err != nil {
			return err
		}
	}
	return nil
}

// Type writes text where the focus is.
func (p *Page) Type(text string) error {
	return p.call("Input.insertText", map[string]any{"text": text}, nil)
}

// Click waits for an element, which an expression gives, and clicks its middle; again, if the page moved meanwhile and the
// element got nothing of it.
func (p *Page) Click(element string) error {
	for {
		hit, err := p.click(element)
		if hit || err != nil {
			return err
		}
	}
}

func (p *Page) click(element string) (hit bool, err error) {
	x, y, err := p.Middle(element)
	if err != nil {
		return false, err
	}
	const listen = `void (window.__hit = false, (%s)?.addEventListener("mousedown", () => { window.__hit = true; }, { once: true, capture: true }))`
	if err := p.Eval(fmt.Sprintf(listen, element), nil); err != nil {
		return false, err
	}
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		event := map[string]any{"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
		if err := p.call("Input.dispatchMouseEvent", event, nil); err != nil {
			return false, err
		}
	}
	err = p.Eval(`window.__hit !== false`, &hit) // a document that the click led to knows nothing of it
	if err != nil && leftPage(err) {
		return true, nil
	}
	return hit, err
}

// Middle is where an element is seen once it is there and stands still.
func (p *Page) Middle(element string) (x, y float64, err error) {
	still := fmt.Sprintf(`(() => { const e = %s; if (!e || e.disabled) return false; e.scrollIntoView({ block: "nearest" });
  const r = e.getBoundingClientRect(), at = [r.x, r.y, r.width, r.height].join(); const before = e.__at; e.__at = at; return r.width > 0 && before === at; })()`, element)
	if err := p.Wait(still); err != nil {
		return 0, 0, err
	}
	var at [2]float64
	err = p.Eval(fmt.Sprintf(`(() => { const r = (%s).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`, element), &at)
	return at[0], at[1], err
}

// Wheel turns the wheel at a place; control zooms in some views.
func (p *Page) Wheel(x, y, deltaX, deltaY float64, control bool) error {
	event := map[string]any{"type": "mouseWheel", "x": x, "y": y, "deltaX": deltaX, "deltaY": deltaY}
	if control {
		event["modifiers"] = 2
	}
	return p.call("Input.dispatchMouseEvent", event, nil)
}

// Quote makes a literal of JavaScript, of which JSON is a part.
func Quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string has always a form in JSON
	}
	return string(b)
}
