// Command gen writes schema/table.go from the markers in the sources of
// k8s.io/api and k8s.io/apimachinery that this module depends on.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

func main() {
	if err := run("table.go"); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	text, err := generate()
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// generate gives the text of the table.
func generate() ([]byte, error) {
	modules := map[string]string{}
	for _, path := range []string{"k8s.io/api", "k8s.io/apimachinery"} {
		dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
		if err != nil {
			return nil, fmt.Errorf("go list -m %s: %w", path, err)
		}
		modules[path] = strings.TrimSpace(string(dir))
	}
	w := newWalker(modules)
	if err := w.roots(); err != nil {
		return nil, err
	}
	return w.print()
}
