package runner

import "strings"

// systemPrompt is the first message of every conversation. It is short, because what a tool does
// stands in the tool's own description.
func systemPrompt(s Spec) string {
	var b strings.Builder
	b.WriteString("You are an agent that works on the files in " + s.Directory + " until the user's goal is reached. " +
		"Work in small steps: look before you change, and check each change. Every tool call states its intent: one sentence that says why. " +
		"Commands run in a sandbox without network; only that directory, HOME and /tmp can be written. " +
		"Some calls may be denied or wait for a person: then say what you need, or find another way. " +
		"When the goal is reached, answer without a tool call and say in a few sentences what you did.")
	if s.Check != "" {
		b.WriteString(" Your work counts as done only if this command then succeeds: " + s.Check)
	}
	return b.String()
}
