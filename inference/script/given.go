package script

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"tachograph/schemas/chat"
)

// ParseTurn reads a file that holds one turn, its fields at the top: what a person gives in place of
// a model's answer. The ids of its calls name no place in a script, so a script that goes on after it
// counts it as one turn. What has a meaning only while a script is played (expect, usage, pace) is
// checked and not used; a turn that fails is refused.
func ParseTurn(name string, source []byte) (chat.Message, error) {
	m, err := parseGiven(source)
	if err != nil {
		return nil, fmt.Errorf("parse turn %s: %w", name, err)
	}
	return m, nil
}

func parseGiven(source []byte) (chat.Message, error) {
	var y turnYAML
	if err := decode(source, &y); err != nil {
		return nil, err
	}
	t, err := parseTurn(y, false)
	if err != nil {
		return nil, err
	}
	if t.fail != nil {
		return nil, errors.New("fail is no answer: write say, calls or both")
	}
	sum := sha256.Sum256(source)
	return t.message(0, func(index int) string {
		return fmt.Sprintf("call_given_%x_%d", sum[:4], index+1)
	}), nil
}
