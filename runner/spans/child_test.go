package spans_test

func asChild() {}
