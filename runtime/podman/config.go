package podman

import (
	"log/slog"
	"time"
)

// DefaultLogBytesMax is the default cap on one attempt's log.
const DefaultLogBytesMax = 10 << 20

// Config says which Podman a Runtime uses and as whom.
type Config struct {
	// URL of the Podman service (unix://, ssh:// or tcp://). Empty: found as
	// Podman's users expect, see FindURL, anew on each attempt to connect.
	URL string
	// Cluster and Node own the pods. Both are written on each pod as labels
	// and select what this Runtime sees.
	Cluster, Node string
	// HostIP is where hostPorts without an address of their own bind; empty:
	// on all addresses.
	HostIP string
	// Dir holds the pods' volumes, Dir/<run>/<volume>. It must be a path that
	// Podman's host sees too, absolute.
	Dir string
	// LogBytesMax caps the log of each attempt in bytes; when it is reached
	// conmon starts the file anew. 0: DefaultLogBytesMax.
	LogBytesMax int64
	// PullTimeout bounds the download of one image; 0: 10 minutes.
	PullTimeout time.Duration
	// Logger gets what happens between calls (connection lost and found
	// again); nil: nothing is logged.
	Logger *slog.Logger
}

// ServiceConfig describes a private Podman service.
type ServiceConfig struct {
	// Dir is owned by the service: storage, sockets, configuration, log. A
	// socket's path is limited to 107 bytes, so keep it short.
	Dir string
	// Podman is the program; empty: "podman" from PATH.
	Podman string
	// Logger gets each trial and its outcome; nil: nothing is logged.
	Logger *slog.Logger
}

// socketName is the service's socket inside ServiceConfig.Dir.
const socketName = "podman.sock"

// missingPackages is the next step when a program that Podman needs is absent.
const missingPackages = "install podman, runc, conmon, netavark, iptables and catatonit"
