package main

import (
	"context"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"holon/node/api"
	"holon/node/image"
)

const imagesPath = ownGroup + "/images"

func newImageCommand(a *app) *cobra.Command {
	return groupCommand("image", "Bring images to the nodes without a registry",
		`Nodes help each other out with images: a pod whose image is missing on its node
gets it from a live node that has it, before any registry is asked. So it is enough
to load an image on one node; a second one keeps a copy as soon as a pod runs from
it. No registry is needed.

A pod with imagePullPolicy Always still asks a registry first, as in Kubernetes, and
makes do with a copy of the cluster's if none answers. With Never no registry is
asked. An image named by a digest (NAME@sha256:...) comes from registries only.`,
		`  podman build -t localhost/shop:1 . && holon image load localhost/shop:1
  holon image load shop.tar --all
  holon image ls`,
		imageLoadCommand(a), imageListCommand(a))
}

func imageListCommand(a *app) *cobra.Command {
	var node, output string
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the images of the nodes, and who has them",
		Long: `Ask all nodes that are in reach, or one of them, for their images. Nodes that do
not answer are named; those with plain processes have no images.`,
		Example: `  holon image ls
  holon image ls --node n2
  holon image ls -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listImages(cmd.Context(), node, output) },
	}
	c.Flags().StringVar(&node, "node", "", "only the images of this node")
	_ = c.RegisterFlagCompletionFunc("node", a.completeNodes)
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func (a *app) listImages(ctx context.Context, node, output string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	wait := a.startProgress("asking the nodes for their images")
	defer wait.stop()
	list, err := c.images(ctx, node)
	if err != nil {
		return err
	}
	wait.stop()
	if output != "" {
		return printStructured(a.out, output, list)
	}
	if len(list.Items) > 0 {
		printTable(a.out, []string{"NAME", "ID", "SIZE", "NODES"}, imageRows(list.Items))
	} else {
		say(a.err, "no images\n")
	}
	if len(list.Silent) > 0 {
		a.warn("no answer from " + strings.Join(list.Silent, ", ") + ": their images are not in the list")
	}
	return nil
}

func (c *client) images(ctx context.Context, node string) (list api.ImageList, err error) {
	query := url.Values{}
	if node != "" {
		query.Set("node", node)
	}
	err = c.get(ctx, imagesPath, query, &list)
	return list, err
}

// imageRows has a row for each name: the name is what pods ask for.
func imageRows(images []api.ImageInfo) (rows [][]string) {
	for _, i := range images {
		names := i.Names
		if len(names) == 0 {
			names = []string{"<none>"}
		}
		for _, name := range names {
			rows = append(rows, []string{name, image.Short(i.ID), image.Bytes(i.Size), strings.Join(i.Nodes, ",")})
		}
	}
	return rows
}

// completeImages completes what image load takes: a file, or the name of an image.
func (a *app) completeImages(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	c, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	list, err := c.images(ctx, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var names []string
	for _, i := range list.Items {
		names = append(names, i.Names...)
	}
	return names, cobra.ShellCompDirectiveDefault
}
