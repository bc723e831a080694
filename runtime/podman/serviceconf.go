//go:build remote

package podman

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// command makes a podman command that works on the service's storage. It
// inherits nothing that points at another Podman.
func (s settings) command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	at := func(name string) string { return filepath.Join(dir, name) }
	global := []string{
		"--root", at("root"), "--runroot", at("run"), "--tmpdir", at("tmp"),
		"--network-config-dir", at("net"), "--cgroup-manager", "cgroupfs",
	}
	cmd := exec.CommandContext(ctx, s.Podman, append(global, args...)...)
	cmd.Dir = dir
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch {
		case strings.HasPrefix(name, "CONTAINER"), strings.HasPrefix(name, "LISTEN_"),
			name == "DOCKER_HOST", name == "NOTIFY_SOCKET", name == "TMPDIR":
		default:
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env,
		"CONTAINERS_CONF="+at("containers.conf"),
		"CONTAINERS_STORAGE_CONF="+at("storage.conf"),
		"CONTAINERS_REGISTRIES_CONF="+at("registries.conf"),
		"TMPDIR="+at("tmp"),
		"PODMAN_IGNORE_CGROUPSV1_WARNING=1",
	)
	return cmd
}

// write writes the configuration files.
func (s settings) write(dir string) error {
	at := func(name string) string { return strconv.Quote(filepath.Join(dir, name)) }
	ulimits := ""
	if len(s.Ulimits) > 0 {
		b, err := json.Marshal(s.Ulimits)
		if err != nil {
			return err
		}
		ulimits = "default_ulimits = " + string(b) + "\n"
	}
	network, err := s.networkFile()
	if err != nil {
		return err
	}
	// exit_command_delay: each exec would leave two conmon processes for 300 s.
	// lock_type: locks in shared memory are shared by every service of root.
	files := map[string]string{
		"containers.conf": "[containers]\n" + ulimits + "log_driver = \"k8s-file\"\n" +
			"[engine]\nruntime = " + strconv.Quote(s.OCIRuntime) + "\n" +
			"cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nlock_type = \"file\"\n" +
			"exit_command_delay = 1\ntmp_dir = " + at("tmp") + "\n" +
			"[network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = " + at("net") + "\n" +
			"default_network = " + strconv.Quote(s.Network) + "\ndefault_subnet = " + strconv.Quote(s.Subnet) + "\n",
		"storage.conf":                          "[storage]\ndriver = \"overlay\"\nrunroot = " + at("run") + "\ngraphroot = " + at("root") + "\n",
		"registries.conf":                       "unqualified-search-registries = []\n",
		filepath.Join("net", s.Network+".json"): network,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// networkFile describes the default network. It is written by hand because
// Podman's own default network is on bridge podman0 in every service, and the
// command line of Podman 4.3 cannot name another bridge. No DNS: holon
// resolves names itself, and aardvark-dns is one process for all services.
func (s settings) networkFile() (string, error) {
	subnet, err := netip.ParsePrefix(s.Subnet)
	if err != nil {
		return "", err
	}
	id := sha256.Sum256([]byte(s.Network))
	b, err := json.MarshalIndent(map[string]any{
		"name": s.Network, "id": hex.EncodeToString(id[:]), "driver": "bridge",
		"network_interface": s.Bridge, "created": "2026-01-01T00:00:00Z",
		"subnets":      []map[string]string{{"subnet": s.Subnet, "gateway": subnet.Addr().Next().String()}},
		"ipv6_enabled": false, "internal": false, "dns_enabled": false,
		"ipam_options": map[string]string{"driver": "host-local"},
	}, "", "  ")
	return string(b), err
}

// Private services take their /24 networks out of 10.96.0.0/11.
const (
	subnetFirst = 96
	subnetCount = 32 * 256
)

// chooseNetwork names network and bridge after the directory and takes a
// subnet that overlaps with no address or route of this host. It starts
// looking at a place that depends on the directory, so that services started
// at the same moment differ.
func (s *settings) chooseNetwork(dir string) error {
	sum := sha256.Sum256([]byte(dir))
	s.Network = "holon-" + hex.EncodeToString(sum[:4])
	s.Bridge = "hln" + hex.EncodeToString(sum[:4])
	used, err := usedPrefixes()
	if err != nil {
		return err
	}
	start := int(sum[4])<<8 | int(sum[5])
	for i := range subnetCount {
		n := (start + i) % subnetCount
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(subnetFirst + n/256), byte(n % 256), 0}), 24)
		if !overlaps(p, used) {
			s.Subnet = p.String()
			return nil
		}
	}
	return errors.New("no free /24 in 10.96.0.0/11 for the containers' network")
}

func overlaps(p netip.Prefix, used []netip.Prefix) bool {
	for _, u := range used {
		if u.Overlaps(p) {
			return true
		}
	}
	return false
}

// usedPrefixes lists the networks of this host's addresses and IPv4 routes.
func usedPrefixes() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Masked())
		}
	}
	b, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		dst, err1 := routeAddr(f[1])
		mask, err2 := routeAddr(f[7])
		if err1 != nil || err2 != nil || mask == (netip.AddrFrom4([4]byte{})) {
			continue // the headline, or the default route
		}
		m := mask.As4()
		ones, _ := net.IPv4Mask(m[0], m[1], m[2], m[3]).Size()
		out = append(out, netip.PrefixFrom(dst, ones))
	}
	return out, nil
}

// routeAddr reads an address of /proc/net/route: hexadecimal, in the byte order
// of the machine, which is little-endian wherever Podman runs.
func routeAddr(s string) (netip.Addr, error) {
	v, err := strconv.ParseUint(s, 16, 32)
	if err != nil || len(s) != 8 {
		return netip.Addr{}, fmt.Errorf("%q is not an address", s)
	}
	return netip.AddrFrom4([4]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)}), nil
}
