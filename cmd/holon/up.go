package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"holon/p2p/libp2p"
	"holon/p2p/swim"
)

// nodeOptions are the flags of `up`.
type nodeOptions struct {
	dataDir     string
	name        string
	listen      []string
	apiListen   string
	runtime     string
	profile     string
	join        string
	noIntroduce bool
	install     bool
	verbose     bool

	// For the test network.
	podmanURL string
	hostIP    string
	podSubnet string
	control   bool
	blocked   []string // needs control
}

// profiles are the figures of failure detection that there are.
var profiles = map[string]func() swim.Config{"lan": swim.LAN, "edge": swim.Edge}

func newUpCommand() *cobra.Command {
	var o nodeOptions
	c := &cobra.Command{
		Use:   "up",
		Short: "Be a node of a cluster",
		Long: `Run a node in the foreground. The first time it makes a cluster of its own, or
with --join becomes a member of another one; afterwards the data directory knows
which. Ctrl-C ends the daemon only: pods go on and are adopted by the next 'holon
up'. To stop them too, use 'holon down'.

--profile says how long a silence is one. lan: a dead node is noticed within 3 s.
edge: within 30 s, for slow or lossy links between the nodes. Give all nodes of a
cluster the same one; 'holon status' says who has another.`,
		Example: `  holon up                               # the first node
  holon up --join holon1.AAAA...         # another one, with a token of 'holon token create'
  holon up --name shop3 --no-introduce   # an exposed node: it can let nobody in
  holon up --profile edge                # nodes far apart; the same one for all of them
  holon up --install                     # as a systemd service, from boot on`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			if o.install {
				return install(cmd.OutOrStdout(), o)
			}
			return up(cmd.Context(), cmd.ErrOrStderr(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.dataDir, "data-dir", "", "where the node keeps its identity and the cluster's state (default "+dataDir()+")")
	f.StringVar(&o.name, "name", "", "name of the node, a DNS label (default: the host name)")
	f.StringArrayVar(&o.listen, "listen", nil, "multiaddr for other nodes, may be repeated (default: QUIC and TCP on every IPv4 address)")
	f.StringVar(&o.apiListen, "api-listen", "0.0.0.0:6443", "address of the API, which speaks TLS and asks for a client certificate")
	f.StringVar(&o.runtime, "runtime", "auto", "what runs containers: podman, process (plain host processes), or auto: podman if a trial container runs")
	f.StringVar(&o.profile, "profile", "lan", "how soon silence counts as an outage: lan, or edge for slow or lossy links")
	f.StringVar(&o.join, "join", "", "token of the cluster to join")
	f.BoolVar(&o.noIntroduce, "no-introduce", false, "never let others into the cluster through this node")
	f.BoolVar(&o.install, "install", false, "install and start a systemd service with these flags instead")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log every request")
	f.StringVar(&o.podmanURL, "podman-url", "", "URL of the Podman service (default: found as Podman does)")
	f.StringVar(&o.hostIP, "host-ip", "", "address of this node in its Node object (default: of the first network interface)")
	f.StringVar(&o.podSubnet, "pod-subnet", "", "loopback subnet for the pods of the process runtime")
	f.BoolVar(&o.control, "testnet-control", false, "let the socket's owner play partition; for test networks only")
	f.StringSliceVar(&o.blocked, "testnet-block", nil, "nodes not to see until the control says otherwise; for test networks only")
	_ = f.MarkHidden("pod-subnet")
	_ = f.MarkHidden("testnet-control")
	_ = f.MarkHidden("testnet-block")
	_ = c.MarkFlagDirname("data-dir")
	_ = c.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions([]string{"edge", "lan"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("runtime", cobra.FixedCompletions([]string{"auto", "podman", "process"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// complete checks the flags and fills in what follows from the host.
func (o *nodeOptions) complete() error {
	switch o.runtime {
	case "auto", "podman", "process":
	default:
		return usagef("--runtime %q is not auto, podman or process", o.runtime)
	}
	if profiles[o.profile] == nil {
		return usagef("--profile %q is not lan or edge", o.profile)
	}
	if len(o.blocked) > 0 && !o.control {
		return usagef("--testnet-block is for the nodes of 'holon testnet' only")
	}
	if o.dataDir == "" {
		o.dataDir = dataDir()
	}
	abs, err := filepath.Abs(o.dataDir)
	if err != nil {
		return err
	}
	o.dataDir = abs
	if o.name != "" && !validNodeName(o.name) {
		return usagef("--name %q is not a DNS label: lower-case letters, digits and '-', at most 63", o.name)
	}
	if o.name == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("no host name: %w; give the node one with --name", err)
		}
		o.name = labelOf(host)
	}
	if o.podSubnet != "" {
		if _, err := netip.ParsePrefix(o.podSubnet); err != nil {
			return usagef("--pod-subnet %q: %v", o.podSubnet, err)
		}
	}
	if o.hostIP == "" {
		o.hostIP = hostIP()
	}
	if _, err := netip.ParseAddr(o.hostIP); err != nil {
		return usagef("--host-ip %q: %v", o.hostIP, err)
	}
	return nil
}

// local reports whether the node talks on loopback only, as test nodes do: it
// does not look around on the LAN then.
func (o *nodeOptions) local() bool {
	for _, addr := range o.listen {
		if !strings.HasPrefix(addr, "/ip4/127.") && !strings.HasPrefix(addr, "/ip6/::1/") {
			return false
		}
	}
	return len(o.listen) > 0
}

// up is the life of a daemon: who am I, what do I hold, run.
func up(ctx context.Context, words interface{ Write([]byte) (int, error) }, o nodeOptions) error {
	d := &daemon{options: o, words: words, log: newLogger(words, o.verbose)}
	libp2p.LogLibrary(d.log.Handler())
	if err := os.MkdirAll(o.dataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w; name another one with --data-dir", err)
	}
	if err := d.patiently("reading the database in "+o.dataDir, d.openStore); err != nil {
		return err
	}
	defer d.closeStore()
	if err := d.identify(ctx); err != nil {
		return err
	}
	err := d.patiently("trying what runs containers here", func() error { return d.chooseRuntime(ctx) })
	if err != nil {
		return err
	}
	defer d.runtime.Close() //nolint:errcheck // pods go on; nothing is lost
	return d.run(ctx)
}
