package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"holon/node/api"
)

const volumesPath = ownGroup + "/volumes"

func newVolumeCommand(a *app) *cobra.Command {
	return groupCommand("volume", "See where the data of claims is, and give up what is lost",
		`What a pod writes into a PersistentVolumeClaim lies in a directory of one node, and
pods that name the claim run there or nowhere. The claims themselves are for
'holon get pvc'.`,
		"  holon volume ls\n  holon volume abandon shop/store-db-0\n  holon volume rm n2/pvc-5b1c2a9e-1f0a-4d5e-9c43-0a1b2c3d4e5f",
		volumeListCommand(a), volumeAbandonCommand(a), volumeRemoveCommand(a))
}

func volumeListCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the volumes of all nodes",
		Long: `List the volumes of all nodes and what is in use of their disks. A volume is bound to
a claim, or unused: its claim is bound to another one since the two sides of a split
have met, or its data was given up, or nothing is known of it. Nobody removes an
unused one but you ('holon volume rm').`,
		Example: "  holon volume ls\n  holon volume ls -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			var list api.VolumeList
			if err := c.get(cmd.Context(), volumesPath, nil, &list); err != nil {
				return err
			}
			if output != "" {
				return printStructured(a.out, output, list)
			}
			a.printVolumes(&list)
			return nil
		},
	}
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func (a *app) printVolumes(list *api.VolumeList) {
	if len(list.Missing) > 0 {
		say(a.err, "no answer from %s\n", strings.Join(list.Missing, ", "))
	}
	if len(list.Items) == 0 {
		say(a.out, "no volumes\n")
		return
	}
	var rows [][]string
	for _, v := range list.Items {
		claim, size := "-", "-"
		if v.Claim != "" {
			claim = v.Namespace + "/" + v.Claim
		}
		if v.Bytes >= 0 {
			size = humanBytes(v.Bytes)
		}
		rows = append(rows, []string{claim, v.Node, v.State, size, v.Volume})
	}
	printTable(a.out, []string{"CLAIM", "NODE", "STATE", "USED", "VOLUME"}, rows)
}

func volumeAbandonCommand(a *app) *cobra.Command {
	var force, yes bool
	c := &cobra.Command{
		Use:   "abandon NAMESPACE/CLAIM",
		Short: "Give up the data of a claim, so that its pods start elsewhere",
		Long: `Unbind a claim from the node that has its data. The pods that name it start on
another node, with an empty volume. That is for a node that does not come back: one
that is in reach keeps its data unless --force is given.

If the node comes back after all, what it has of the claim stays there, unused, until
'holon volume rm' removes it. Nothing copies it to the new volume.`,
		Example: "  holon volume abandon shop/store-db-0\n  holon volume abandon shop/store-db-0 --yes",
		Args:    wantArgs(1, 1, "a claim as NAMESPACE/CLAIM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			namespace, claim, ok := strings.Cut(args[0], "/")
			if !ok || namespace == "" || claim == "" {
				return usagef("%q is not NAMESPACE/CLAIM", args[0])
			}
			return a.abandonVolume(cmd.Context(), namespace, claim, force, yes)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "also if the node that has the data is in reach")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask at a terminal")
	return c
}

func (a *app) abandonVolume(ctx context.Context, namespace, claim string, force, yes bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var list api.VolumeList
	if err := c.get(ctx, volumesPath, nil, &list); err != nil {
		return err
	}
	what := "the data of claim " + namespace + "/" + claim
	for _, v := range list.Items {
		if v.Namespace == namespace && v.Claim == claim && v.State != "unused" {
			what += " on " + v.Node
			if v.Bytes >= 0 {
				what += " (" + humanBytes(v.Bytes) + ")"
			}
			break
		}
	}
	if !yes && isTerminal(a.in) {
		if err := a.agreed(ctx, "This gives up "+what+"; its pods start with an empty volume. Go on? [y/N] "); err != nil {
			return err
		}
	}
	body, err := json.Marshal(api.VolumeAbandonment{Force: force})
	if err != nil {
		return err
	}
	if _, err := c.do(ctx, request{method: http.MethodPost, path: volumesPath + "/persistentvolumeclaims/" + namespace + "/" + claim, body: body}); err != nil {
		return err
	}
	say(a.out, "%s is given up; the next pod that uses the claim starts with an empty volume\n", what)
	return nil
}

func volumeRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rm NODE/VOLUME...",
		Aliases: []string{"remove"},
		Short:   "Remove unused volumes, with what is in them",
		Long: `Remove volumes that 'holon volume ls' shows as unused, with what is in them. One that is
bound goes with its claim: delete that.`,
		Example: "  holon volume rm n2/pvc-5b1c2a9e-1f0a-4d5e-9c43-0a1b2c3d4e5f",
		Args:    wantArgs(1, 100, "volumes as NODE/VOLUME, see 'holon volume ls'"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			var failed []error
			for _, arg := range args {
				if node, volume, ok := strings.Cut(arg, "/"); !ok || node == "" || volume == "" {
					failed = append(failed, usagef("%q is not NODE/VOLUME", arg))
				} else if _, err := c.do(cmd.Context(), request{method: http.MethodDelete, path: volumesPath + "/" + arg}); err != nil {
					failed = append(failed, fmt.Errorf("%s: %w", arg, err))
				} else {
					say(a.out, "volume %s removed\n", arg)
				}
			}
			return errors.Join(failed...)
		},
	}
}
