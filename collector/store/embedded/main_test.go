package embedded_test

import (
	"testing"

	"tachograph/collector/store/embedded/embeddedtest"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }
