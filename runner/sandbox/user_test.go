package sandbox

import "testing"

func TestInMap(t *testing.T) {
	t.Parallel()
	const rootless = "         0       1000          1\n         1     100000      65536\n"
	for _, c := range []struct {
		text string
		id   int
		want bool
	}{
		{"         0          0 4294967295\n", DefaultUID, true},
		{"         0       1000          1\n", 0, true},
		{"         0       1000          1\n", DefaultUID, false},
		{rootless, DefaultUID, true},
		{rootless, 65536, true},
		{rootless, 65537, false},
		{"         0          0      60960\n", DefaultUID, false},
		{"         0          0      60961\n", DefaultUID, true},
		{"", 0, false},
		{"a b c\n", 0, false},
	} {
		if got := inMap([]byte(c.text), c.id); got != c.want {
			t.Errorf("id %d in %q: %t", c.id, c.text, got)
		}
	}
}
