package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tachograph/collector/store/embedded"
	"tachograph/runner/gate"
)

// The exit statuses of every command.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitLacking    = 3 // this machine lacks something
	exitUnverified = 4 // verification failed
	exitRunFailed  = 5
	exitUnsigned   = 6 // consistent, but the signer is unknown
)

// exit is an error with a status of its own. An empty text is not shown: all was said already.
type exit struct {
	status int
	err    error
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}
func (e *exit) Unwrap() error { return e.err }

func usage(err error) error { return &exit{exitUsage, err} }

// statusOf is the one table from errors to exit statuses.
func statusOf(err error) int {
	var e *exit
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.status
	case gate.IsUnavailable(err), embedded.IsUnavailable(err):
		return exitLacking
	}
	// cobra's own errors about commands and arguments have no type.
	for _, beginning := range []string{"unknown command", "accepts ", "requires at least", "required flag", "if any flags in the group"} {
		if strings.HasPrefix(err.Error(), beginning) {
			return exitUsage
		}
	}
	return exitFailed
}

// report writes an error to the errors' stream and gives the status.
func (c *cli) report(err error) int {
	status := statusOf(err)
	if errors.Is(err, context.Canceled) {
		err = &exit{exitFailed, errors.New("interrupted")}
	}
	if err == nil || err.Error() == "" {
		return status
	}
	if c.json {
		text, _ := json.Marshal(map[string]any{"error": err.Error(), "status": status})
		fmt.Fprintln(c.err, string(text))
		return status
	}
	fmt.Fprintf(c.err, "tacho: %v\n", err)
	if status == exitUsage {
		fmt.Fprintln(c.err, "See `tacho --help`.")
	}
	return status
}

// arguments wraps cobra's check of the arguments' number so that it says what they are.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usage(fmt.Errorf("%s takes %s, but %d arguments were given", cmd.CommandPath(), what, len(args)))
		}
		return nil
	}
}
