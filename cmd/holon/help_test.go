package main

import (
	"testing"

	"github.com/spf13/cobra"
)

// TestEveryCommandShowsAnExample: whoever asks for help wants a line to copy.
func TestEveryCommandShowsAnExample(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Example == "" && c.Name() != "version" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRootCommand(&app{}))
}
