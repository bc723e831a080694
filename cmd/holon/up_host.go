package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	goruntime "runtime"
	"strings"

	"golang.org/x/sys/unix"

	"holon/crdt/state"
	"holon/node/core"
	"holon/p2p/cert"
)

// podsMax is how many pods a node takes, as a kubelet by default.
const podsMax = 110

// hostFacts are what does not change while the daemon runs.
func hostFacts(o nodeOptions) core.Host {
	h := core.Host{
		HostIP: o.hostIP, OS: goruntime.GOOS, Arch: goruntime.GOARCH, Kernel: kernel(), HolonVersion: "holon-" + readVersion().Version,
		Allocatable: state.Resources{CPU: int64(goruntime.NumCPU()) * 1000, Memory: memory(), Pods: podsMax},
	}
	return h
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// memory is what pods may ask for: what the machine has, less a tenth for itself.
func memory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kib int64
		if _, err := fmt.Sscanf(s.Text(), "MemTotal: %d kB", &kib); err == nil {
			return kib * 1024 / 10 * 9
		}
	}
	return 0
}

// hostIP is the first address that others may reach, or loopback.
func hostIP() string {
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
				return n.IP.String()
			}
		}
	}
	return "127.0.0.1"
}

func validNodeName(name string) bool { return cert.ValidName(name) }

// labelOf makes a DNS label of a host name.
func labelOf(host string) string {
	host, _, _ = strings.Cut(strings.ToLower(host), ".")
	label := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, host)
	label = strings.Trim(label, "-")
	if !validNodeName(label) {
		return "node"
	}
	return label
}

// newLogger writes one line per fact, for people and for journald, which adds the
// time by itself.
func newLogger(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
