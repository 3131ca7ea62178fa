package runner

import (
	"context"
	"errors"

	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// Model is what the runner asks of a model provider. Ask may be called by several agents at once.
// An error of Ask may implement the methods of [modelError]; any other is final.
type Model interface {
	// Name is provider/name.
	Name() string
	// Frame makes the request's bytes without the messages; see [chat.Frame].
	Frame(tools []chat.Tool) (chat.Frame, error)
	// Ask sends the messages and returns the whole answer. watch, if not nil, sees the pieces as
	// they arrive. It retries what is worth retrying, within a bound, before it gives up.
	Ask(ctx context.Context, f chat.Frame, messages []chat.Message, watch func(chat.Delta)) (chat.Answer, error)
}

// modelError is how a provider's error says what may help.
type modelError interface {
	error
	Temporary() bool       // the same request may succeed later
	ContextExceeded() bool // the messages are too long for the model
}

func temporary(err error) bool {
	var e modelError
	return errors.As(err, &e) && e.Temporary()
}

func contextExceeded(err error) bool {
	var e modelError
	return errors.As(err, &e) && e.ContextExceeded()
}

// tokens are an answer's counts as the journal holds them; estimated when the provider sent none.
func tokens(a chat.Answer, sent int) (t journal.Tokens, estimated bool) {
	if a.Usage.Known {
		u := a.Usage
		return journal.Tokens{Input: u.Input, Cached: u.Cached, Output: u.Output, Reasoning: u.Reasoning}, false
	}
	return journal.Tokens{Input: estimate(sent), Output: estimate(len(a.Message))}, true
}

// estimate is a rough number of tokens in so many bytes of text.
func estimate(bytes int) int64 { return int64(bytes+3) / 4 }
