// Command tacho runs AI agents so that every step can be rebuilt, proven and undone.
//
// main parses the command line, wires the packages together, and closes them in reverse. What a
// command does stands in cmd_<name>.go, how it exits in exit.go, how it reaches a data directory in
// place.go, and how a run is told to a person in story.go.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"tachograph/collector/store/embedded"
	"tachograph/runner/gate"
)

func main() {
	// A sandbox's zygote and the embedded ClickHouse are this binary, started again: they never come back from here.
	gate.RunIfHelper()
	embedded.RunIfHelper()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}
