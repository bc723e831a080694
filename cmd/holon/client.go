package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// client talks to the API of one node.
type client struct {
	http *http.Client
	base *url.URL
	// config and socket say how to open the upgraded connections of exec;
	// socket is empty when the node is reached by TCP.
	config  *rest.Config
	socket  string
	where   string // for errors: the address and where it came from
	timeout time.Duration
	warn    func(string)

	// namespace is the one to use when none is named; explicit says that the
	// user gave it with -n.
	namespace string
	explicit  bool
}

// connect finds the node to ask, in this order: --socket; --kubeconfig,
// --context or $KUBECONFIG; the local node's socket; ~/.kube/config.
func (a *app) connect() (*client, error) {
	timeout, err := parseTimeout(a.requestTimeout)
	if err != nil {
		return nil, err
	}
	c, err := a.findServer()
	if err != nil {
		return nil, err
	}
	c.timeout = timeout
	c.warn = a.warn
	if a.namespace != "" {
		c.namespace, c.explicit = a.namespace, true
	}
	return c, nil
}

func (a *app) findServer() (*client, error) {
	if a.socket != "" {
		if a.kubeconfig != "" || a.context != "" {
			return nil, usagef("--socket names a node by itself: leave out --kubeconfig and --context")
		}
		return socketClient(a.socket), nil
	}
	if a.kubeconfig != "" || a.context != "" || os.Getenv(clientcmd.RecommendedConfigPathEnvVar) != "" {
		return a.kubeconfigClient()
	}
	socket := filepath.Join(dataDir(), socketName)
	if _, err := os.Stat(socket); err == nil {
		return socketClient(socket), nil
	} else if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("the local node's socket %s belongs to another user; run this as that user, or use a kubeconfig (--kubeconfig)", socket)
	}
	if _, err := os.Stat(clientcmd.RecommendedHomeFile); err == nil {
		return a.kubeconfigClient()
	}
	return nil, errors.New("no node runs here and no kubeconfig is set; " + howToStart())
}

const socketName = "holon.sock"

// howToStart is the next step of somebody who has no node to talk to.
func howToStart() string {
	if dir, err := lastTestnet(); err == nil {
		return fmt.Sprintf("for the testnet in %s: export KUBECONFIG=%s", dir, filepath.Join(dir, kubeconfigName))
	}
	return "start a node with 'holon up' or a test cluster with 'holon testnet up'"
}

func parseTimeout(s string) (time.Duration, error) {
	if s == "0" || s == "" {
		return 0, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return d, nil
	}
	if d, err := time.ParseDuration(s + "s"); err == nil && d >= 0 {
		return d, nil // kubectl takes bare seconds, too
	}
	return 0, usagef("--request-timeout %q is not a duration such as 5s, 2m or 0", s)
}

// socketClient reaches a node on its own unix socket, where being the owner is
// the credential.
func socketClient(socket string) *client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		DisableCompression: true,
	}
	return &client{
		http:      &http.Client{Transport: transport},
		base:      &url.URL{Scheme: "http", Host: "localhost"},
		socket:    socket,
		where:     "the socket " + socket,
		namespace: "default",
	}
}

func (a *app) kubeconfigClient() (*client, error) {
	rules, err := a.loadingRules()
	if err != nil {
		return nil, err
	}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: a.context}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("cannot read the kubeconfig: %w", err)
	}
	name := raw.CurrentContext
	if a.context != "" {
		name = a.context
	}
	if err := checkContext(raw, name, rules); err != nil {
		return nil, err
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig %s cannot be used: %w", rules.GetDefaultFilename(), err)
	}
	config.UserAgent = "holon/" + readVersion().Version
	config.QPS = -1
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, err
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig %s cannot be used: %w", rules.GetDefaultFilename(), err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("context %q names a bad server %q: %w", name, config.Host, err)
	}
	return &client{
		http:      httpClient,
		base:      base,
		config:    config,
		where:     fmt.Sprintf("%s (context %q)", base.Host, name),
		namespace: namespace,
	}, nil
}

// loadingRules are kubectl's. Only where kubectl would find no such context,
// the last testnet's kubeconfig is searched as well, so that
// `holon --context n3` works right after `holon testnet up`.
func (a *app) loadingRules() (*clientcmd.ClientConfigLoadingRules, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.WarnIfAllMissing = false
	if a.kubeconfig != "" {
		if _, err := os.Stat(a.kubeconfig); err != nil {
			return nil, fmt.Errorf("cannot read the kubeconfig: %w", err)
		}
		rules.ExplicitPath = a.kubeconfig
		return rules, nil
	}
	if a.context == "" || os.Getenv(clientcmd.RecommendedConfigPathEnvVar) != "" {
		return rules, nil
	}
	if config, err := rules.Load(); err == nil && config.Contexts[a.context] != nil {
		return rules, nil
	}
	if dir, err := lastTestnet(); err == nil {
		rules.ExplicitPath = filepath.Join(dir, kubeconfigName)
	}
	return rules, nil
}

func checkContext(raw clientcmdapi.Config, name string, rules *clientcmd.ClientConfigLoadingRules) error {
	file := rules.GetDefaultFilename()
	if clientcmdapi.IsConfigEmpty(&raw) {
		return fmt.Errorf("the kubeconfig %s is missing or empty; %s", file, howToStart())
	}
	var known []string
	for k := range raw.Contexts {
		known = append(known, k)
	}
	sort.Strings(known)
	switch {
	case name == "" && len(known) > 0:
		return fmt.Errorf("the kubeconfig %s has no current context; name one with --context: %s", file, strings.Join(known, ", "))
	case raw.Contexts[name] == nil:
		return fmt.Errorf("context %q does not exist in %s; it has: %s", name, file, strings.Join(known, ", "))
	}
	return nil
}

func userDir(env, fallback string) string {
	if d := os.Getenv(env); d != "" {
		return filepath.Join(d, "holon")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/"
	}
	return filepath.Join(home, fallback, "holon")
}
