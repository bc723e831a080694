package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"holon/node/api/openapi"
)

// The committed schemas are what the sources of the modules in go.mod give.
func TestSchemasAreFresh(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	all, err := openapi.Schemas()
	if err != nil {
		t.Fatal(err)
	}
	have, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("node/api/openapi/schemas.json.gz is not what go generate ./node/api/openapi writes; run it")
	}
}
