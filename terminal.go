package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

// progressLine returns a function that shows how far long work is, on one line of the errors'
// stream that is written over. It shows nothing where that is no terminal, and for short work.
func (c *cli) progressLine(doing string) func(done, total, bytes int64) {
	f, ok := c.err.(*os.File)
	if !ok || c.json || !term.IsTerminal(int(f.Fd())) {
		return func(int64, int64, int64) {}
	}
	began, shown := time.Now(), time.Time{}
	return func(done, total, bytes int64) {
		now := time.Now()
		if now.Sub(began) < time.Second || now.Sub(shown) < 100*time.Millisecond {
			return
		}
		shown = now
		line := fmt.Sprintf("%s: %d", doing, done)
		if total > 0 {
			line += fmt.Sprintf(" of %d", total)
		}
		if bytes > 0 {
			line += ", " + byteCount(bytes)
		}
		fmt.Fprintf(f, "\r\x1b[K%s", line)
		if total > 0 && done >= total {
			fmt.Fprint(f, "\r\x1b[K")
		}
	}
}

// confirm asks a person at a terminal; anybody else has said no.
func (c *cli) confirm(question string) bool {
	f, ok := c.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false
	}
	fmt.Fprintf(c.err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(c.in).ReadString('\n')
	return err == nil && strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y")
}

// byteCount is a size for people, in powers of 1024.
func byteCount(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return count(n, "byte")
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// byteSize is a flag that holds a size: "20GiB", "500MB", "1048576".
type byteSize int64

func (b *byteSize) String() string { return strconv.FormatInt(int64(*b), 10) }
func (b *byteSize) Type() string   { return "size" }

func (b *byteSize) Set(text string) error {
	number := strings.TrimRight(text, "BKMGTikmgtb")
	n, err := strconv.ParseFloat(number, 64)
	unit, ok := map[string]float64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}[strings.ToUpper(text[len(number):])]
	if err != nil || !ok || n < 0 || n*unit > 1<<62 {
		return fmt.Errorf("%q is no size: write one as 20GiB or 500MB", text)
	}
	*b = byteSize(n * unit)
	return nil
}

// shortTime shows an RFC 3339 time in the local zone.
func shortTime(text string) string {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	return t.Local().Format("2006-01-02 15:04")
}
