package state_test

import "flag"

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a new one")

func runIfChild() {}
