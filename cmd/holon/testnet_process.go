package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"holon/runtime"
	"holon/runtime/process"
)

// processDir is where a node keeps its process pods, in its data directory:
// `holon up` and the testnet must agree on it.
func processDir(dataDir string) string { return filepath.Join(dataDir, "process") }

// killProcesses ends every process of a node's pods.
func (t *testnet) killProcesses(n *testnetNode) error {
	return process.Kill(processDir(t.nodeDir(n)))
}

// cleanProcesses also removes their control groups, and what any pod kept in
// memory.
func (t *testnet) cleanProcesses(n *testnetNode) error {
	return errors.Join(process.Clean(processDir(t.nodeDir(n))), runtime.ForgetMemory(runtime.MemoryDir(podmanVolumes(t.nodeDir(n))), ""))
}

// podmanVolumes is where a node keeps the volumes of its Podman pods.
func podmanVolumes(dataDir string) string { return filepath.Join(dataDir, "podman") }

// podDirEnv marks every process of a pod, see package process.
const podDirEnv = "HOLON_POD_DIR"

// freezeProcesses stops the processes of a node's pods, or lets them go on. A
// process may fork before it is stopped, so it looks again until a look finds
// nothing to do.
func (t *testnet) freezeProcesses(ctx context.Context, n *testnetNode, freeze bool) error {
	dir, err := filepath.EvalSymlinks(processDir(t.nodeDir(n)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	sig := syscall.SIGCONT
	if freeze {
		sig = syscall.SIGSTOP
	}
	for ctx.Err() == nil {
		pods, err := podProcesses(dir)
		if err != nil {
			return err
		}
		again := false
		for _, p := range pods {
			if state, err := p.state(); err != nil || (state == 'T') == freeze {
				continue
			}
			again = true
			if err := p.signal(sig); err != nil && !errors.Is(err, errProcGone) {
				return fmt.Errorf("process %d of a pod: %w", p.PID, err)
			}
		}
		if !again {
			return nil
		}
	}
	return ctx.Err()
}

// podProcesses finds the processes of pods with their directory under dir.
func podProcesses(dir string) ([]procID, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	mark := []byte("\x00" + podDirEnv + "=" + dir + "/")
	var found []procID
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p, err := identify(pid)
		if err != nil {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && bytes.Contains(append([]byte{0}, env...), mark) {
			found = append(found, p)
		}
	}
	return found, nil
}
