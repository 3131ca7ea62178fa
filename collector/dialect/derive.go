package dialect

import (
	"tachograph/collector/otlp"
	"tachograph/schemas/attr"
	"tachograph/schemas/genai"
	"tachograph/schemas/tables"
)

// maxIntent bounds, in bytes, an intent that is derived: it should be a sentence, and what an assistant writes begins with it.
const maxIntent = 512

// Values of the column intent_source.
const (
	declared = "declared"
	derived  = "derived"
)

// derive says why a model was asked or a tool was called, for spans that do not say so themselves: the newest text of a user or an
// assistant in the span's own messages, those of the answer first. Spans of ours are left alone: their journals know.
// It is a reading, so the attributes stay as they came.
func (w *Writer) derive(row *tables.Span, attrs []otlp.Attr) {
	if row.IntentText != "" {
		if row.IntentSource == "" {
			row.IntentSource = declared
		}
		return
	}
	if row.Source != tables.SourceOTLP || !explains(row.Operation) {
		return
	}
	row.IntentText = w.newest(attrs, attr.GenAIOutputMessages)
	if row.IntentText == "" {
		row.IntentText = w.newest(attrs, attr.GenAIInputMessages)
	}
	if row.IntentText != "" {
		row.IntentSource = derived
	}
}

// explains says whether messages on a span of that operation say why it was done. Those of an agent's span do not: they
// are its task and its result.
func explains(operation string) bool {
	switch operation {
	case "chat", "generate_content", "text_completion", attr.OperationExecuteTool:
		return true
	}
	return false
}

func (w *Writer) newest(attrs []otlp.Attr, key string) string {
	for i := range attrs {
		if attrs[i].Key != key {
			continue
		}
		switch attrs[i].Value.Type {
		case otlp.String, otlp.List, otlp.Map:
			messages, _ := w.values.text(attrs[i].Value)
			return genai.Newest(messages, maxIntent)
		}
	}
	return ""
}
