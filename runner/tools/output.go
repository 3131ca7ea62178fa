package tools

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
)

// readOutput is the tool read_output.
type readOutput struct {
	Call string `json:"call"`
	pager
}

func outputTool() *tool {
	return &tool{
		name:  "read_output",
		about: "Shows part of the stored output of an earlier call, where its result was too long to be shown whole.",
		params: append([]param{{name: "call", kind: text, required: true, min: 1, max: 200,
			about: "The call, as the end of its result names it."}}, pagerParams()...),
		action: func() action { return &readOutput{} },
	}
}

func (a *readOutput) plan(_ *Set, p *Plan) error {
	p.Effect, p.Idempotent = EffectNone, true
	return a.check()
}

func (a *readOutput) run(ctx context.Context, s *Set, _ Plan, _ Input) (Outcome, error) {
	return s.bounded(ctx, func(ctx context.Context) (Outcome, error) {
		content, err := s.env.Output(ctx, a.Call)
		if errors.Is(err, fs.ErrNotExist) {
			return Outcome{}, refuse("there is no stored output of a call %.60q", a.Call)
		}
		if err != nil {
			return Outcome{}, err
		}
		if a.ByteOffset == nil {
			content = plain(content)
		}
		text, err := a.show(ctx, bytes.NewReader(content), int64(len(content)), s.env.Limits, "read_output")
		if err != nil {
			return Outcome{}, err
		}
		return Outcome{Text: text, Observed: EffectNone}, nil
	})
}
