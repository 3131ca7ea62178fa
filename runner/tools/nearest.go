package tools

import (
	"fmt"
	"strings"
)

// nearestWork bounds the comparisons that nearest makes: a hint is not worth more than some milliseconds.
const nearestWork = 2_000_000

// nearest says where a text that is not in content almost is, as the end of an error message: the lines that agree with
// most of its lines when white space is not counted, or the line most like its first one. Empty if nothing is alike.
func nearest(content, old []byte) string {
	lines := strings.Split(string(content), "\n")
	want := strings.Split(strings.Trim(string(old), "\r\n"), "\n")
	if len(lines)*len(want) > nearestWork {
		return ""
	}
	at, same := bestWindow(squeezeAll(lines), squeezeAll(want))
	switch {
	case same == 0:
		return nearestLine(lines, want)
	case same == len(want):
		return fmt.Sprintf("; lines %d to %d are the same but for white space: the file has %s", at+1, at+len(want), quoteDifference(lines[at:], want))
	}
	return fmt.Sprintf("; closest are lines %d to %d, where %d of %d lines agree: the file has %s",
		at+1, min(at+len(want), len(lines)), same, len(want), quoteDifference(lines[at:], want))
}

// bestWindow finds where in lines the most non-blank lines of want agree.
func bestWindow(lines, want []string) (at, same int) {
	for i := range lines {
		n := 0
		for j := 0; j < len(want) && i+j < len(lines); j++ {
			if lines[i+j] == want[j] {
				n++
			}
		}
		if n > same && agreesInText(lines[i:], want) {
			at, same = i, n
		}
	}
	return at, same
}

// agreesInText keeps blank lines, which are everywhere, from making a likeness.
func agreesInText(lines, want []string) bool {
	for j := 0; j < len(want) && j < len(lines); j++ {
		if want[j] != "" && lines[j] == want[j] {
			return true
		}
	}
	return false
}

func squeezeAll(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.Join(strings.Fields(l), " ")
	}
	return out
}

// quoteDifference shows the first line that differs, as it is in both.
func quoteDifference(lines, want []string) string {
	for j, w := range want {
		if j >= len(lines) {
			return fmt.Sprintf("no more lines where old_text has %s", quoteLine(w))
		}
		if lines[j] != w {
			return fmt.Sprintf("%s where old_text has %s", quoteLine(lines[j]), quoteLine(w))
		}
	}
	return "other line ends"
}

func quoteLine(l string) string {
	const shown = 160
	if len(l) > shown {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(l[:shown], ""))
	}
	return fmt.Sprintf("%q", l)
}

// nearestLine compares pairs of characters (Dice's coefficient).
func nearestLine(lines, want []string) string {
	const alike = 0.6
	target := ""
	for _, w := range want {
		if target = strings.TrimSpace(w); target != "" {
			break
		}
	}
	pairs := pairsOf(target)
	best, at := 0.0, -1
	for i, l := range lines {
		l = strings.TrimSpace(l)
		if len(l) > 4*len(target) || 4*len(l) < len(target) {
			continue
		}
		if d := dice(pairs, pairsOf(l)); d > best {
			best, at = d, i
		}
	}
	if best < alike {
		return ""
	}
	return fmt.Sprintf("; the line most like it is %d: %s", at+1, quoteLine(lines[at]))
}

func pairsOf(s string) map[[2]byte]int {
	const longest = 1000
	out := make(map[[2]byte]int)
	for i := 0; i+1 < min(len(s), longest); i++ {
		out[[2]byte{s[i], s[i+1]}]++
	}
	return out
}

func dice(a, b map[[2]byte]int) float64 {
	common, total := 0, 0
	for p, n := range a {
		common += min(n, b[p])
		total += n
	}
	for _, n := range b {
		total += n
	}
	if total == 0 {
		return 0
	}
	return 2 * float64(common) / float64(total)
}
