package hosts

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Where Podman's socket is on a real host. /run is each host's own.
const (
	podmanSocket = "/run/podman/podman.sock"
	podmanURL    = "unix://" + podmanSocket
)

func (h *Host) podmanEnv() []string {
	return []string{
		"CONTAINERS_CONF=" + h.at("containers.conf"), "CONTAINERS_STORAGE_CONF=" + h.at("storage.conf"),
		"CONTAINERS_REGISTRIES_CONF=" + h.at("registries.conf"), "PODMAN_IGNORE_CGROUPSV1_WARNING=1",
	}
}

// Podman types a command of Podman on the host.
func (h *Host) Podman(ctx context.Context, stdin string, args ...string) (string, error) {
	return h.Enter(ctx, stdin, append(append([]string{"env"}, h.podmanEnv()...), append([]string{"podman"}, args...)...)...)
}

// StartPodman starts the host's Podman service, which finds what it had.
func (h *Host) StartPodman(ctx context.Context) error {
	if h.podman.running() {
		return fmt.Errorf("the Podman of %s runs already", h.Name)
	}
	if err := h.writePodmanFiles(); err != nil {
		return err
	}
	if _, err := h.Enter(ctx, "", "sh", "-c", "mkdir -p /run/podman && rm -f "+podmanSocket); err != nil {
		return err
	}
	podman, err := h.spawn(ctx, "podman", h.podmanEnv(), "podman", "system", "service", "--time=0", podmanURL)
	if err != nil {
		return err
	}
	h.podman = podman
	return podman.await(ctx, func() error {
		_, err := h.Enter(ctx, "", "podman", "--remote", "--url", podmanURL, "version")
		return err
	})
}

// KillPodman ends the Podman service by SIGKILL; its containers go on.
func (h *Host) KillPodman(ctx context.Context) error { return h.podman.kill(ctx) }

// writePodmanFiles configures a Podman of its own: storage in the host's
// directory, pods on 10.96.N.0/24.
func (h *Host) writePodmanFiles() error {
	subnet := fmt.Sprintf("10.96.%d.", h.number)
	id := sha256.Sum256([]byte("pods"))
	network, err := json.Marshal(map[string]any{
		"name": "pods", "id": hex.EncodeToString(id[:]), "driver": "bridge", "network_interface": "pods0",
		"created": "2026-01-01T00:00:00Z", "subnets": []map[string]string{{"subnet": subnet + "0/24", "gateway": subnet + "1"}},
		"ipv6_enabled": false, "internal": false, "dns_enabled": false, "ipam_options": map[string]string{"driver": "host-local"},
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(h.at("net"), 0o700); err != nil {
		return err
	}
	quoted := func(name string) string { return strconv.Quote(h.at(name)) }
	// exit_command_delay: each exec would leave two conmon processes for 300 s.
	// lock_type: locks in shared memory are shared by all services of a machine.
	for name, text := range map[string]string{
		"net/pods.json": string(network),
		"containers.conf": `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
events_logfile_path = ` + quoted("events.log") + `
events_logfile_max_size = "1g"
lock_type = "file"
exit_command_delay = 1
[network]
network_backend = "netavark"
network_config_dir = ` + quoted("net") + `
default_network = "pods"
default_subnet = ` + strconv.Quote(subnet+"0/24") + "\n",
		"storage.conf":    "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\ngraphroot = " + quoted("storage") + "\n",
		"registries.conf": "unqualified-search-registries = []\n",
	} {
		if err := os.WriteFile(h.at(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// loadImage makes an image of one program.
func (h *Host) loadImage(ctx context.Context, name, program string) error {
	binary, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	err = w.WriteHeader(&tar.Header{Name: "bin/" + filepath.Base(program), Mode: 0o755, Size: int64(len(binary)), ModTime: time.Unix(0, 0)})
	if err == nil {
		_, err = w.Write(binary)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	if _, err := h.Podman(ctx, image.String(), "import", "--quiet", "-", name); err != nil {
		return fmt.Errorf("load image %s on %s: %w", name, h.Name, err)
	}
	return nil
}
