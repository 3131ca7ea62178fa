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
	group, _, ok := strings.Cut(a.Key, ".")
	if !ok {
		return
	}
	switch group {
	case "ai":
		readVercel(row, a)
	case "traceloop":
		readTraceloop(row, a)
	case "openinference", "llm", "tool":
		readOpenInference(row, a)
	}
}

func readVercel(row *tables.Span, a *otlp.Attr) {
	switch a.Key {
	case "ai.operationId":
		fillText(&row.Operation, vercelOperation(a.Value))
	case "ai.toolCall.name":
		fillValue(&row.Tool, a.Value)
	case "ai.toolCall.id":
		fillValue(&row.ToolCallID, a.Value)
	case "ai.telemetry.functionId":
		fillValue(&row.Agent, a.Value)
	case "ai.model.id":
		fillValue(&row.RequestModel, a.Value)
	case "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens":
		fillNumber(&row.InputTokens, a.Value)
	case "ai.usage.outputTokens", "ai.usage.completionTokens":
		fillNumber(&row.OutputTokens, a.Value)
	case "ai.usage.cachedInputTokens":
		fillNumber(&row.CachedTokens, a.Value)
	case "ai.usage.reasoningTokens":
		fillNumber(&row.ReasoningTokens, a.Value)
	}
}

// vercelOperation reads ai.operationId. The outer span of a generation is its agent, the inner ones (.do…) are the calls of
// the model; of embeddings the inner one alone counts.
func vercelOperation(v otlp.Value) string {
	if v.Type != otlp.String {
		return ""
	}
	name, inner, _ := strings.Cut(strings.TrimPrefix(v.Text, "ai."), ".")
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

func readTraceloop(row *tables.Span, a *otlp.Attr) {
	if a.Key != "traceloop.span.kind" || a.Value.Type != otlp.String {
		return
	}
	switch a.Value.Text {
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

func readOpenInference(row *tables.Span, a *otlp.Attr) {
	switch a.Key {
	case "openinference.span.kind":
		if a.Value.Type == otlp.String {
			fillText(&row.Operation, openInferenceOperation(a.Value.Text))
		}
	case "llm.model_name":
		fillValue(&row.RequestModel, a.Value)
	case "tool.name":
		fillValue(&row.Tool, a.Value)
	case "llm.token_count.prompt":
		fillNumber(&row.InputTokens, a.Value)
	case "llm.token_count.completion":
		fillNumber(&row.OutputTokens, a.Value)
	case "llm.token_count.prompt_details.cache_read":
		fillNumber(&row.CachedTokens, a.Value)
	case "llm.token_count.completion_details.reasoning":
		fillNumber(&row.ReasoningTokens, a.Value)
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
