package embedded

import (
	"bytes"
	"sync"
)

// lastLines keeps the end of what a program says, for the error message if it fails.
type lastLines struct {
	mu   sync.Mutex
	text []byte
}

const lastLinesSize = 8 << 10

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if extra := len(l.text) - lastLinesSize; extra > 0 {
		l.text = append(l.text[:0], l.text[extra:]...)
	}
	return len(p), nil
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.text))
}
