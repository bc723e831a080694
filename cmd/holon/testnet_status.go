package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"holon/node/api"
)

// nodeStatus is one line of `testnet status`.
type nodeStatus struct {
	Name    string `json:"name"`
	PID     int    `json:"pid"`   // 0 when down
	State   string `json:"state"` // running, paused or down
	Ready   bool   `json:"ready"` // by the node's own word
	Server  string `json:"server"`
	Runtime string `json:"runtime"`
	Peers   int    `json:"peers"` // other nodes that this one sees alive
	Log     string `json:"log"`
}

// statusTime bounds how long `testnet status` waits for a node.
const statusTime = 2 * time.Second

func (t *testnetCommands) statusCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "status",
		Example: `  holon testnet status
  holon testnet status -o json`,
		Short: "Show the nodes of the testnet",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := t.open()
			if err != nil {
				return err
			}
			if output != "" {
				return printStructured(t.out, output, n.status(cmd.Context()))
			}
			return n.printStatus(cmd.Context())
		},
	}
	addOutputFlag(c, &output, "json", "yaml")
	return c
}

func (t *testnetCommands) logsCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "logs NODE",
		Example:           `  holon testnet logs n1`,
		Short:             "Print the log of a node's daemon",
		Args:              wantArgs(1, 1, "the name of a node, such as n2"),
		ValidArgsFunction: t.completeNodes,
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := t.open()
			if err != nil {
				return err
			}
			node, err := n.node(args[0])
			if err != nil {
				return err
			}
			f, err := os.Open(n.logFile(node))
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteTo(t.out)
			return err
		},
	}
}

// status asks all nodes at once.
func (t *testnet) status(ctx context.Context) []nodeStatus {
	all := make([]nodeStatus, len(t.state.Nodes))
	var wait sync.WaitGroup
	for i, n := range t.state.Nodes {
		wait.Go(func() { all[i] = t.nodeStatus(ctx, n) })
	}
	wait.Wait()
	return all
}

func (t *testnet) nodeStatus(ctx context.Context, n *testnetNode) nodeStatus {
	s := nodeStatus{Name: n.Name, State: "down", Server: t.server(n), Runtime: t.state.Runtime, Log: t.logFile(n)}
	state, err := n.Process.state()
	if err != nil {
		return s
	}
	s.PID = n.Process.PID
	s.State = "running"
	if state == 'T' {
		s.State = "paused"
		return s
	}
	c := t.client(n)
	c.timeout = statusTime
	var node corev1.Node
	if err := c.get(ctx, mustBuiltin("nodes").path("", n.Name), nil, &node); err == nil {
		s.Ready = nodeReady(&node)
	}
	var view api.ClusterStatus
	if err := c.get(ctx, statusPath, nil, &view); err == nil {
		for _, m := range view.Members {
			if m.State == "alive" && m.Name != n.Name {
				s.Peers++
			}
		}
	}
	return s
}

func (t *testnet) printStatus(ctx context.Context) error {
	var rows [][]string
	for _, s := range t.status(ctx) {
		pid := "-"
		if s.PID != 0 {
			pid = strconv.Itoa(s.PID)
		}
		rows = append(rows, []string{s.Name, s.State, strconv.FormatBool(s.Ready), s.Server, s.Runtime, strconv.Itoa(s.Peers), pid, s.Log})
	}
	printTable(t.out, []string{"NAME", "STATE", "READY", "SERVER", "RUNTIME", "PEERS", "PID", "LOG"}, rows)
	return nil
}

func (t *testnetCommands) completeNodes(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	n, err := t.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return n.names(), cobra.ShellCompDirectiveNoFileComp
}

// writeKubeconfig joins the kubeconfigs that the nodes wrote, one context each.
func (t *testnet) writeKubeconfig() error {
	all := clientcmdapi.NewConfig()
	for _, n := range t.state.Nodes {
		path := filepath.Join(t.nodeDir(n), kubeconfigName)
		one, err := clientcmd.LoadFromFile(path)
		if err != nil {
			return nodeError{n, fmt.Errorf("its kubeconfig cannot be read: %w", err)}
		}
		current := one.Contexts[one.CurrentContext]
		if current == nil || one.Clusters[current.Cluster] == nil || one.AuthInfos[current.AuthInfo] == nil {
			return nodeError{n, fmt.Errorf("its kubeconfig %s has no usable context", path)}
		}
		all.Clusters[n.Name] = one.Clusters[current.Cluster]
		all.AuthInfos[n.Name] = one.AuthInfos[current.AuthInfo]
		context := clientcmdapi.NewContext()
		context.Cluster, context.AuthInfo, context.Namespace = n.Name, n.Name, current.Namespace
		all.Contexts[n.Name] = context
	}
	all.CurrentContext = t.state.Nodes[0].Name
	data, err := clientcmd.Write(*all)
	if err != nil {
		return err
	}
	return writeAtomic(filepath.Join(t.dir, kubeconfigName), data) // mode 0600: CreateTemp's
}
