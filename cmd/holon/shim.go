package main

import (
	"os"

	"github.com/spf13/cobra"

	"holon/runtime/process"
)

// newShimCommand is what the process runtime starts for every container; it is
// not for people.
func newShimCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "shim",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			os.Exit(process.Shim(args))
			return nil
		},
	}
}
