package traces_test

import (
	"slices"
	"testing"

	"tachograph/schemas/tables"
	"tachograph/web/traces"
)

// TestFieldsOfTheirOwn tells messages whose fields are attributes, in any order, of both dialects that write so; numbers that no
// message can have are passed over.
func TestFieldsOfTheirOwn(t *testing.T) {
	t.Parallel()
	for name, pairs := range map[string][]string{
		"OpenLLMetry": {"gen_ai.prompt.0.role", "user", "gen_ai.prompt.0.content", "go", "gen_ai.prompt.1.role", "assistant", "gen_ai.prompt.1.tool_calls.0.id", "c0",
			"gen_ai.prompt.1.tool_calls.0.name", "ls", "gen_ai.prompt.2.role", "tool", "gen_ai.prompt.2.tool_call_id", "c0", "gen_ai.prompt.2.content", "a b",
			"gen_ai.completion.0.role", "assistant", "gen_ai.completion.0.content", "so", "gen_ai.completion.0.tool_calls.1.name", "cat",
			"gen_ai.completion.0.tool_calls.1.arguments", "{}", "gen_ai.completion.0.tool_calls.0.name", "ls",
			"gen_ai.prompt.99999999999999999999.role", "x", "gen_ai.prompt.-1.content", "x", "gen_ai.completion.0.tool_calls.1000.name", "x"},
		"OpenInference": {"llm.input_messages.0.message.role", "user", "llm.input_messages.0.message.contents.0.message_content.text", "go",
			"llm.input_messages.1.message.role", "assistant", "llm.input_messages.1.message.tool_calls.0.tool_call.id", "c0",
			"llm.input_messages.1.message.tool_calls.0.tool_call.function.name", "ls", "llm.input_messages.2.message.role", "tool",
			"llm.input_messages.2.message.tool_call_id", "c0", "llm.input_messages.2.message.content", "a b", "llm.output_messages.0.message.role", "assistant",
			"llm.output_messages.0.message.content", "so", "llm.output_messages.0.message.tool_calls.1.tool_call.function.name", "cat",
			"llm.output_messages.0.message.tool_calls.1.tool_call.function.arguments", "{}", "llm.output_messages.0.message.tool_calls.0.tool_call.function.name", "ls"},
	} {
		var sent []tables.Attr
		for pair := range slices.Chunk(pairs, 2) {
			sent = append(sent, tables.Attr{Key: pair[0], Value: pair[1], Type: tables.TypeString})
		}
		for range 2 {
			turn := tell(t, traces.Teller{}, asked(sent...))
			if turn.Message == nil || turn.Message.Text != "so" || len(turn.Asks) != 2 || turn.Asks[0].Tool != "ls" || turn.Asks[1].Tool != "cat" || turn.Asks[1].Args.Text != "{}" {
				t.Errorf("%s: it says %+v and asks for %+v", name, turn.Message, turn.Asks)
			}
			if len(turn.Heard) != 1 || turn.Heard[0].Role != "tool" || turn.Heard[0].Tool == nil || *turn.Heard[0].Tool != "ls" || turn.Heard[0].Text.Text != "a b" {
				t.Errorf("%s: it heard %+v", name, turn.Heard)
			}
			slices.Reverse(sent)
		}
	}
}
