package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newUpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "up",
		Short: "Be a node",
		RunE: func(*cobra.Command, []string) error {
			return errors.New("this build has no node inside; build one that has")
		},
	}
}
