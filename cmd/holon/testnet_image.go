package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"holon/runtime/podman"
)

// loadImageCommand builds an image on the testnet's Podman service out of files
// of this host, so that a testnet needs no registry. The process runtime has no
// images: nothing happens there.
func (t *testnetCommands) loadImageCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "load-image NAME PATH=FILE...",
		Short:   "Build an image out of files of this host, where the testnet has images",
		Example: "  holon testnet load-image localhost/web:demo /bin/web=./web",
		Args:    wantArgs(2, -1, "the name of the image and what it holds, such as /bin/web=./web"),
		Hidden:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			files := map[string]string{}
			for _, arg := range args[1:] {
				inside, file, ok := strings.Cut(arg, "=")
				if !ok || file == "" || !strings.HasPrefix(inside, "/") {
					return usagef("%q is not PATH=FILE, such as /bin/web=./web", arg)
				}
				files[inside] = file
			}
			n, err := t.open()
			if err != nil {
				return err
			}
			if n.state.Runtime != "podman" {
				_, err := fmt.Fprintln(t.err, "the nodes run plain host processes: no image is needed")
				return err
			}
			if err := podman.LoadImage(cmd.Context(), n.state.Podman, args[0], files, nil); err != nil {
				return err
			}
			_, err = fmt.Fprintf(t.out, "image %s loaded\n", args[0])
			return err
		},
	}
}
