package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The files of a testnet's directory, besides nK, the data directory of node nK.
const (
	stateFileName  = "testnet.json"
	lockFileName   = "testnet.lock"
	kubeconfigName = "kubeconfig"
	daemonLogName  = "daemon.log"
	podmanDirName  = "podman"
)

// Every node has a loopback address of its own, so all use the same ports.
const (
	testnetMeshPort = 7946
	testnetAPIPort  = 6443
	testnetNodesMax = 200 // third octet of a node's address
)

// testnetState is what a testnet's file keeps.
type testnetState struct {
	// Octet is the second octet of the testnet's addresses: 127.Octet.K.1.
	Octet int `json:"octet"`
	// Runtime is podman or process, Podman the URL of the service that the nodes
	// share, Private whether that service is the testnet's own.
	Runtime string `json:"runtime"`
	Podman  string `json:"podman,omitempty"`
	Private bool   `json:"private,omitempty"`
	// Cluster is the cluster's id, as its nodes have it.
	Cluster string `json:"cluster,omitempty"`
	// MadeDir says that `up` made the directory, so that `down` removes it.
	MadeDir bool           `json:"madeDir,omitempty"`
	Nodes   []*testnetNode `json:"nodes"`
	// Partition are the groups that do not see each other; empty: all do.
	Partition [][]string `json:"partition,omitempty"`
}

// testnetNode is one node; Process is zero after a kill.
type testnetNode struct {
	Name    string `json:"name"`
	Index   int    `json:"index"` // from 1
	Process procID `json:"process"`
	// PausedPods says that `pause --all` stopped the pods, too.
	PausedPods bool `json:"pausedPods,omitempty"`
}

func (t *testnet) stateFile() string { return filepath.Join(t.dir, stateFileName) }

func (t *testnet) save() error { return writeJSON(t.stateFile(), &t.state) }

// saveIfThere saves unless the verb has removed the testnet.
func (t *testnet) saveIfThere() error {
	if _, err := os.Stat(t.stateFile()); err != nil {
		return nil
	}
	return t.save()
}

func (t *testnet) nodeDir(n *testnetNode) string { return filepath.Join(t.dir, n.Name) }

func (t *testnet) logFile(n *testnetNode) string {
	return filepath.Join(t.nodeDir(n), daemonLogName)
}

func (t *testnet) socket(n *testnetNode) string { return filepath.Join(t.nodeDir(n), socketName) }

// ip is the node's address; its pods have the others of the same /24.
func (t *testnet) ip(n *testnetNode) string { return testnetIP(t.state.Octet, n.Index) }

func testnetIP(octet, index int) string { return fmt.Sprintf("127.%d.%d.1", octet, index) }

func (t *testnet) server(n *testnetNode) string {
	return fmt.Sprintf("https://%s:%d", t.ip(n), testnetAPIPort)
}

// client asks a node on its socket, as its owner.
func (t *testnet) client(n *testnetNode) *client {
	c := socketClient(t.socket(n))
	c.where = "node " + n.Name
	c.warn = t.warn
	return c
}

func (t *testnet) node(name string) (*testnetNode, error) {
	for _, n := range t.state.Nodes {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, usagef("the testnet has no node %q; it has %s", name, strings.Join(t.names(), ", "))
}

func (t *testnet) names() []string {
	names := make([]string, len(t.state.Nodes))
	for i, n := range t.state.Nodes {
		names[i] = n.Name
	}
	return names
}

// pick returns the named nodes in the order given; a comma list works, too.
func (t *testnet) pick(args []string) ([]*testnetNode, error) {
	var nodes []*testnetNode
	for _, arg := range args {
		for name := range strings.SplitSeq(arg, ",") {
			n, err := t.node(name)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(nodes, n) {
				nodes = append(nodes, n)
			}
		}
	}
	return nodes, nil
}

// parsePartition reads 'n1,n2|n3': groups that shall not see each other. Nodes
// that are not named form one more group.
func parsePartition(spec string, names []string) ([][]string, error) {
	seen := map[string]bool{}
	var groups [][]string
	for part := range strings.SplitSeq(spec, "|") {
		var group []string
		for name := range strings.SplitSeq(part, ",") {
			name = strings.TrimSpace(name)
			switch {
			case name == "":
				continue
			case !slices.Contains(names, name):
				return nil, usagef("the testnet has no node %q; it has %s", name, strings.Join(names, ", "))
			case seen[name]:
				return nil, usagef("node %q is named twice", name)
			}
			seen[name] = true
			group = append(group, name)
		}
		if len(group) > 0 {
			groups = append(groups, group)
		}
	}
	var rest []string
	for _, name := range names {
		if !seen[name] {
			rest = append(rest, name)
		}
	}
	if len(rest) > 0 {
		groups = append(groups, rest)
	}
	if len(groups) < 2 || len(seen) == 0 {
		return nil, usagef("a partition needs two groups, such as 'n1,n2|n3'")
	}
	return groups, nil
}

// blockedFor lists the nodes that the partition hides from a node.
func (s *testnetState) blockedFor(name string) []string {
	blocked := []string{}
	for _, group := range s.Partition {
		if !slices.Contains(group, name) {
			blocked = append(blocked, group...)
		}
	}
	return blocked
}
