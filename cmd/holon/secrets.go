package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"holon/node/api"
)

func newSecretsCommand(a *app) *cobra.Command {
	return groupCommand("secrets", "See and change the keys that Secrets are sealed with",
		`The values of Secrets are sealed with a data key that only members have, on their
way to the disk and to other nodes. The objects themselves are for 'holon get
secrets'.`,
		"  holon secrets keys\n  holon secrets rotate",
		secretsKeysCommand(a), secretsRotateCommand(a))
}

func secretsKeysCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "keys",
		Short: "List the data keys, oldest first, and who lacks them",
		Example: `  holon secrets keys
  holon --context n2 secrets keys -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			var list api.DataKeyList
			if err := c.get(cmd.Context(), keysPath, nil, &list); err != nil {
				return err
			}
			if output != "" {
				return printStructured(a.out, output, list.Items)
			}
			var rows [][]string
			for _, k := range list.Items {
				use := "old values"
				switch {
				case k.Newest:
					use = "new values"
				case !k.Here:
					use = "not on this node"
				}
				rows = append(rows, []string{k.ID, use, strconv.Itoa(k.Sealed), orElse(strings.Join(k.Lacking, ","), "-")})
			}
			printTable(a.out, []string{"ID", "USED FOR", "SECRETS", "NOT YET WRAPPED FOR"}, rows)
			return nil
		},
	}
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func secretsRotateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rotate",
		Short:   "Make a new data key, for what is written from now on",
		Example: `  holon secrets rotate     # after somebody may have read identity.json`,
		Long: `Make a new data key. Every member gets it, those that are out of reach now when
they are back. What is stored is sealed with it too, a little at a time, while
every member is in reach. Older keys stay: snapshots need them.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			data, err := c.do(cmd.Context(), request{method: http.MethodPost, path: keysPath})
			if err != nil {
				return err
			}
			var key api.DataKeyInfo
			if err := c.decode(data, &key); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "data key %s made\n", key.ID)
			return err
		},
	}
}
