package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newShimCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "shim",
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("this build has no node inside; build one that has")
		},
	}
}
