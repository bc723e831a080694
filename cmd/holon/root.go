package main

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// app is what every command shares: its streams and the global flags.
type app struct {
	in       io.Reader
	out, err io.Writer

	kubeconfig     string
	context        string
	namespace      string
	socket         string
	requestTimeout string
}

// The groups of `holon --help`.
const (
	groupNode      = "node"
	groupWorkloads = "workloads"
	groupCluster   = "cluster"
	groupTestnet   = "testnet"
)

const rootLong = `holon is Kubernetes without a master: every node holds the whole cluster, serves
the whole API, schedules and runs containers. Any node can answer any question.

Try it on this machine:

  holon testnet up --nodes 3       # three real nodes, each a process
  export KUBECONFIG=...            # the line that the command prints
  holon apply -f web.yaml
  holon get pods -o wide
  holon why deploy/web             # who schedules it, what runs where, and why

Or for good, on machines that see each other:

  holon up                         # the first node makes the cluster
  holon token create               # a token for the next one
  holon up --join TOKEN            # there

kubectl works too, against any node, with the file that 'holon kubeconfig' prints.`

const rootExample = `  holon get pods -A                  # what runs
  holon logs -f deploy/web           # follow a log, whichever node has it
  holon exec -it web-0 -- sh         # a shell in a container
  holon --context n3 get nodes       # ask node n3
  holon testnet kill n2              # cut the power of a test node`

// execute runs the command line and returns the exit code: 0 done, 1 failed,
// 2 wrong usage, 130 interrupted, or for `exec` what the remote command returned.
func (a *app) execute(ctx context.Context, args []string) int {
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	code := a.exitCode(ctx, cmd, err)
	if out, ok := a.out.(*answer); ok && out.err != nil && code == 0 {
		a.complain("the answer could not be written: " + out.err.Error())
		return exitFailed
	}
	return code
}

func newRootCommand(a *app) *cobra.Command {
	cobra.EnableCommandSorting = false // the order below is the order to learn them in
	root := &cobra.Command{
		Use:                "holon",
		Short:              "A masterless container cluster",
		Long:               rootLong,
		Example:            rootExample,
		SilenceUsage:       true,
		SilenceErrors:      true,
		DisableSuggestions: true,
		RunE:               func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddGroup(
		&cobra.Group{ID: groupNode, Title: "Be a node:"},
		&cobra.Group{ID: groupWorkloads, Title: "Run workloads:"},
		&cobra.Group{ID: groupCluster, Title: "Understand the cluster:"},
		&cobra.Group{ID: groupTestnet, Title: "Try things out:"},
	)
	a.addGlobalFlags(root)
	addGrouped(root, groupNode, newUpCommand(), newTokenCommand(a), newKubeconfigCommand(a), newCredentialCommand(a), newDownCommand(a), newNodeCommand(a))
	addGrouped(root, groupWorkloads, newApplyCommand(a), newGetCommand(a), newDescribeCommand(a), newLogsCommand(a), newExecCommand(a),
		newScaleCommand(a), newDeleteCommand(a), newCreateCommand(a), newLabelCommand(a), newAnnotateCommand(a), newPatchCommand(a),
		newRolloutCommand(a), newWaitCommand(a))
	addGrouped(root, groupCluster, newStatusCommand(a), newWhyCommand(a), newEventsCommand(a), newTopCommand(a), newCordonCommand(a), newDrainCommand(a), newUncordonCommand(a), newRebalanceCommand(a), newWhatIfCommand(a), newImageCommand(a), newVolumeCommand(a), newSnapshotCommand(a), newSecretsCommand(a), newConflictsCommand(a), newCompactCommand(a), newSyncCommand(a))
	addGrouped(root, groupTestnet, newTestnetCommand(a))
	root.AddCommand(newVersionCommand(a))
	root.SetFlagErrorFunc(flagError)
	markRunErrors(root)
	hideGlobalFlags(root)
	return root
}

func addGrouped(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

func (a *app) addGlobalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, the local node's socket, ~/.kube/config)")
	f.StringVar(&a.context, "context", "", "context of the kubeconfig, which is to say: the node to ask")
	f.StringVarP(&a.namespace, "namespace", "n", "", "namespace (default: the context's, else default)")
	f.StringVar(&a.socket, "socket", "", "unix socket of a local node (default: holon.sock in its data directory)")
	f.StringVar(&a.requestTimeout, "request-timeout", "30s", "how long to wait for one answer, such as 5s; 0: for ever")
	_ = root.RegisterFlagCompletionFunc("context", a.completeContexts)
	_ = root.RegisterFlagCompletionFunc("namespace", a.completeNamespaces)
}

// hideGlobalFlags keeps the flags of a connection out of the help of commands
// that make none.
func hideGlobalFlags(root *cobra.Command) {
	usage := root.UsageFunc()
	quiet := func(cmd *cobra.Command) error {
		cmd.InheritedFlags().VisitAll(hideFlag)
		return usage(cmd)
	}
	help := root.HelpFunc()
	for _, c := range root.Commands() {
		if c.Name() != "up" && c.Name() != "testnet" && c.Name() != "version" {
			continue
		}
		c.SetUsageFunc(quiet)
		c.SetHelpFunc(func(cmd *cobra.Command, args []string) {
			cmd.InheritedFlags().VisitAll(hideFlag)
			help(cmd, args)
		})
	}
}

// groupCommand is a command that only holds others.
func groupCommand(use, short, long, example string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, Example: example}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("say what to do: %s", strings.Join(subcommandNames(cmd), ", "))
		}
		return unknownCommand(cmd, args[0])
	}
	c.AddCommand(subs...)
	return c
}

func subcommandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			names = append(names, c.Name())
		}
	}
	return names
}

func newVersionCommand(a *app) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := readVersion()
			if output != "" {
				return printStructured(a.out, output, v)
			}
			say(a.out, "%v\n", v)
			return nil
		},
	}
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

// dataDir is where a node of this user keeps its state unless told otherwise.
func dataDir() string {
	if d := os.Getenv("HOLON_DATA_DIR"); d != "" {
		return d
	}
	if os.Geteuid() == 0 {
		return "/var/lib/holon"
	}
	return userDir("XDG_DATA_HOME", ".local/share")
}
