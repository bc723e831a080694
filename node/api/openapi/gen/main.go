// Command gen writes schemas.json.gz: the schemas of the types that holon serves, from
// the Go types and the comments in the sources of k8s.io/api and k8s.io/apimachinery
// that this module depends on.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"

	"holon/node/api"
)

func main() {
	if err := run("schemas.json.gz"); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	text, err := generate()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// generate gives the JSON of all schemas by name.
func generate() ([]byte, error) {
	w := newWalker()
	for gvk, obj := range api.Served() {
		if err := w.root(gvk, obj); err != nil {
			return nil, fmt.Errorf("%s: %w", gvk, err)
		}
	}
	return json.Marshal(w.schemas)
}
