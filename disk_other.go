//go:build !linux

package main

import "errors"

// freeBytes is known on Linux only, where runs work.
func freeBytes(string) (int64, error) { return 0, errors.New("not known on this system") }
