package testnet

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets garbage lie longer: a history makes much and keeps little.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}
