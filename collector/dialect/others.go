package dialect

import (
	"strings"

	"tachograph/collector/otlp"
	"tachograph/schemas/attr"
	"tachograph/schemas/tables"
)

// Operations that have no constant, since no span of ours has them.
const (
	operationEmbeddings = "embeddings"
	operationRetrieval  = "retrieval"
	operationWorkflow   = "invoke_workflow"
)

// readOther reads what other dialects say, into columns that are still empty: the spans of the Vercel AI SDK up to 7 (ai.*), of
// OpenLLMetry's wrappers (traceloop.*) and of OpenInference. They name operations, tools and counts in their own words, and without
// this a list would show neither steps nor calls of them. The attributes stay as they came.
func readOther(row *tables.Span, a *otlp.Attr) {
	group, _, _ := strings.Cut(a.Key, ".")
	switch group {
	case "ai", "traceloop", "openinference", "llm", "tool":
	default:
		return
	}
	if column := otherText(row, a.Key); column != nil {
		fillValue(column, a.Value)
	} else if column := otherNumber(row, a.Key); column != nil {
		fillNumber(column, a.Value)
	} else if a.Value.Type == otlp.String {
		readKind(row, a.Key, a.Value.Text)
	}
}

// otherText is the column of a text of theirs.
func otherText(row *tables.Span, key string) *string {
	switch key {
	case "ai.toolCall.name", "tool.name":
		return &row.Tool
	case "ai.toolCall.id":
		return &row.ToolCallID
	case "ai.telemetry.functionId":
		return &row.Agent
	case "ai.model.id", "llm.model_name":
		return &row.RequestModel
	}
	return nil
}

// otherNumber is the column of a count of theirs.
func otherNumber(row *tables.Span, key string) *int64 {
	switch key {
	case "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens", "llm.token_count.prompt":
		return &row.InputTokens
	case "ai.usage.outputTokens", "ai.usage.completionTokens", "llm.token_count.completion":
		return &row.OutputTokens
	case "ai.usage.cachedInputTokens", "llm.token_count.prompt_details.cache_read":
		return &row.CachedTokens
	case "ai.usage.reasoningTokens", "llm.token_count.completion_details.reasoning":
		return &row.ReasoningTokens
	}
	return nil
}

// readKind reads what kind of span it is.
func readKind(row *tables.Span, key, kind string) {
	switch key {
	case "ai.operationId":
		fillText(&row.Operation, vercelOperation(kind))
	case "traceloop.span.kind":
		readTraceloop(row, kind)
	case "openinference.span.kind":
		fillText(&row.Operation, openInferenceOperation(kind))
	}
}

// vercelOperation reads ai.operationId. The outer span of a generation is its agent, the inner ones (.do…) are the calls of
// the model; of embeddings the inner one alone counts.
func vercelOperation(id string) string {
	name, inner, _ := strings.Cut(strings.TrimPrefix(id, "ai."), ".")
	switch name {
	case "generateText", "streamText", "generateObject", "streamObject":
		if strings.HasPrefix(inner, "do") {
			return attr.OperationChat
		}
		return attr.OperationInvokeAgent
	case "toolCall":
		return attr.OperationExecuteTool
	case "embed", "embedMany":
		if strings.HasPrefix(inner, "do") {
			return operationEmbeddings
		}
	}
	return ""
}

func readTraceloop(row *tables.Span, kind string) {
	switch kind {
	case "agent":
		fillText(&row.Operation, attr.OperationInvokeAgent)
		fillText(&row.Agent, strings.TrimSuffix(row.Name, ".agent"))
	case "workflow":
		fillText(&row.Operation, operationWorkflow)
	case "tool":
		fillText(&row.Operation, attr.OperationExecuteTool)
		fillText(&row.Tool, strings.TrimSuffix(row.Name, ".tool"))
	}
}

func openInferenceOperation(kind string) string {
	switch kind {
	case "LLM":
		return attr.OperationChat
	case "TOOL":
		return attr.OperationExecuteTool
	case "AGENT":
		return attr.OperationInvokeAgent
	case "EMBEDDING":
		return operationEmbeddings
	case "RETRIEVER":
		return operationRetrieval
	}
	return ""
}

func fillText(column *string, text string) {
	if *column == "" {
		*column = text
	}
}

func fillValue(column *string, v otlp.Value) {
	if v.Type == otlp.String {
		fillText(column, cutText(v.Text))
	}
}

func fillNumber(column *int64, v otlp.Value) {
	if *column == tables.Absent {
		readNumber(column, v)
	}
}
