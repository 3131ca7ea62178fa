package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/pprof"

	"tachograph/collector"
	"tachograph/collector/store"
)

// asOurs in the environment makes this test binary our collector and nothing else of tacho: no vectors, no agents, no pages.
// It names the ClickHouse; the spool lies in the working directory. TACHO_BENCH_PROFILE names a file for its CPU profile.
const asOurs = "TACHO_TEST_AS_OURS"

// runOurs receives at PEER_GRPC until it is interrupted.
func runOurs() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := ours(ctx, os.Getenv(asOurs), os.Getenv("PEER_GRPC")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ours(ctx context.Context, dsn, address string) error {
	if file := os.Getenv("TACHO_BENCH_PROFILE"); file != "" {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	s, err := store.Open(ctx, dsn, store.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	c, err := collector.Open(ctx, collector.Config{Store: s, SpoolDir: "spool"})
	if err != nil {
		return err
	}
	defer c.Close()
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := c.GRPCServer(nil)
	context.AfterFunc(ctx, server.Stop)
	fmt.Fprintln(os.Stderr, "Everything is ready")
	return server.Serve(l)
}
