package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holon/runtime/podman"
)

// trialTime bounds the search for a Podman that works here.
const trialTime = 60 * time.Second

func (t *testnet) podmanDir() string { return filepath.Join(t.dir, podmanDirName) }

// choosePodman finds the Podman that the nodes share: the named service, or a
// private one with its own storage under the testnet's directory.
func (t *testnet) choosePodman(ctx context.Context, url string) (words string, err error) {
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	if url != "" {
		if err := podman.TrialContainer(ctx, url); err != nil {
			return "", err
		}
		t.state.Podman = url
		return "podman at " + url, nil
	}
	service, err := podman.StartService(ctx, podman.ServiceConfig{Dir: t.podmanDir()})
	if err != nil {
		clean, done := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer done()
		return "", errors.Join(err, podman.CleanService(clean, t.podmanDir()))
	}
	t.state.Podman, t.state.Private = service.URL, true
	return strings.Join(append([]string{"a private podman with " + service.OCIRuntime}, service.Notes...), "; "), nil
}

// ensureService starts the private Podman service again if it has ended.
func (t *testnet) ensureService(ctx context.Context) error {
	if !t.state.Private {
		return nil
	}
	_, err := podman.StartService(ctx, podman.ServiceConfig{Dir: t.podmanDir()})
	return err
}

// endService removes the private Podman service with all it holds.
func (t *testnet) endService(ctx context.Context) error {
	// Not only if Private: an `up` that was killed during its trial left one, too.
	if _, err := os.Stat(t.podmanDir()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return podman.CleanService(ctx, t.podmanDir())
}

// Labels of the containers of a node, see package podman.
const (
	podmanClusterLabel = "io.holon.cluster"
	podmanNodeLabel    = "io.holon.node"
)

// ownFilter selects the containers or pods of a node.
func (t *testnet) ownFilter(n *testnetNode) []string {
	filter := []string{"--filter", "label=" + podmanNodeLabel + "=" + n.Name}
	if !t.state.Private {
		// Another cluster may have a node of this name on the same service.
		filter = append(filter, "--filter", "label="+podmanClusterLabel+"="+t.state.Cluster)
	}
	return filter
}

// eachContainer runs a podman verb on all containers of a node that are in one
// of the states.
func (t *testnet) eachContainer(ctx context.Context, n *testnetNode, states []string, verb ...string) error {
	list := append([]string{"ps", "--all", "--quiet", "--no-trunc"}, t.ownFilter(n)...)
	for _, s := range states {
		list = append(list, "--filter", "status="+s)
	}
	return t.podmanEach(ctx, list, verb)
}

// containerProcesses names the first process of each running container of a
// node: killing it ends the container, far quicker than Podman would.
func (t *testnet) containerProcesses(ctx context.Context, n *testnetNode) ([]procID, error) {
	pids, err := t.podmanCommand(ctx, append([]string{"ps", "--format", "{{.Pid}}"}, t.ownFilter(n)...)...)
	if err != nil {
		return nil, err
	}
	var found []procID
	for field := range strings.FieldsSeq(pids) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("podman ps printed %q where a pid was expected", field)
		}
		p, err := identify(pid)
		if err == nil && strings.Contains(mountsOf(pid), t.podmanDir()+"/") {
			found = append(found, p)
		}
	}
	return found, nil
}

// mountsOf reads a process's mounts: those of a container show whose it is.
func mountsOf(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return "" // it has ended
	}
	return string(data)
}

// eachPod runs a podman verb on all pods of a node.
func (t *testnet) eachPod(ctx context.Context, n *testnetNode, verb ...string) error {
	list := append([]string{"pod", "ps", "--quiet", "--no-trunc"}, t.ownFilter(n)...)
	return t.podmanEach(ctx, list, append([]string{"pod"}, verb...))
}

// podmanEach runs a verb on everything that a list command prints.
func (t *testnet) podmanEach(ctx context.Context, list, verb []string) error {
	ids, err := t.podmanCommand(ctx, list...)
	if err != nil || strings.TrimSpace(ids) == "" {
		return err
	}
	_, err = t.podmanCommand(ctx, append(verb, strings.Fields(ids)...)...)
	return err
}

func (t *testnet) podmanCommand(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "podman", append([]string{"--remote", "--url", t.state.Podman}, args...)...)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("podman %s: %w: %s", args[0], err, strings.TrimSpace(problem.String()))
	}
	return out.String(), nil
}
