package sandbox_test

// archAttacks: 32-bit calls need a 32-bit program here, which the filter's first check stops as on amd64.
func archAttacks() []attack { return nil }
