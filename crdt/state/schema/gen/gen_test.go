package main

import (
	"bytes"
	"os"
	"testing"
)

// The committed table is what the sources of the modules in go.mod give.
func TestTableIsFresh(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../table.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("crdt/state/schema/table.go is not what go generate ./crdt/state/schema writes; run it and look at the difference")
	}
}
