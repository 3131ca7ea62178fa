package script

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"tachograph/schemas/chat"
)

// ParseTurn reads a file that holds one turn, its fields at the top: what a person gives in place of
// a model's answer. The ids of its calls name no place in a script, so a script that goes on after it
// counts it as one turn.
func ParseTurn(name string, source []byte) (chat.Message, error) {
	var doc strings.Builder
	doc.WriteString("turns:\n  -\n")
	for line := range strings.Lines(string(source)) {
		doc.WriteString("    " + line)
	}
	s, err := Parse(name, []byte(doc.String()))
	if err != nil {
		return nil, err
	}
	t, _, ok := s.scenes[0].placeAt(0)
	if !ok || t.fail != nil || s.scenes[0].length != 1 {
		return nil, fmt.Errorf("turn %s: it holds no answer: write say, calls or both", name)
	}
	sum := sha256.Sum256(source)
	return t.message(1, func(index int) string {
		return fmt.Sprintf("call_given_%s_%d", hex.EncodeToString(sum[:4]), index+1)
	}), nil
}
