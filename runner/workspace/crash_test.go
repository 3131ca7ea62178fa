package workspace_test

func crashHelper() error { return nil }
