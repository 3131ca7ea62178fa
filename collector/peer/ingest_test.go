package main

const asOurs = "TACHO_TEST_AS_OURS"

func runOurs() {}
