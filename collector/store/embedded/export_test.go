package embedded

import "strconv"

// Caps are the limits of the engine's configuration as NAME=VALUE.
func Caps() []string {
	var lines []string
	for _, s := range caps(modeLibrary) {
		lines = append(lines, s.Name+"="+strconv.FormatInt(s.Value, 10))
	}
	return lines
}

// PID is the process that runs now, or ran last.
func (e *Engine) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.child.cmd.Process.Pid
}
