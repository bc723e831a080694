package process

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"
)

// Bounds of everything that could grow.
const (
	logBytesMaxDefault  = 10 << 20         // per log file; two files are kept
	logLineBytesMax     = 16 << 10         // a longer line is split into partial records
	logWriteBytes       = 32 << 10         // of records are written at once, roughly
	startTimeout        = 30 * time.Second // for a shim to say that its program runs
	killTimeout         = 5 * time.Second  // for a killed process to be gone
	drainTimeout        = 2 * time.Second  // for output that a lost descendant holds open
	quickExit           = 10 * time.Second // an exit this soon may be a taken port
	followPoll          = 100 * time.Millisecond
	forwardConnsMax     = 1024 // per forwarded TCP port
	forwardSessionsMax  = 256  // per forwarded UDP port
	forwardSessionIdle  = time.Minute
	outputTailBytes     = 4 << 10 // kept by the shim to explain an exit
	shimNotesBytesMax   = 4 << 10 // of a dead shim's own words in an error
	stateFileBytesMax   = 4 << 10
	startFileBytesMax   = 8 << 20 // environment and arguments, as JSON
	watchEventsMax      = 64      // taken from the kernel at once
	cpuPeriodMicros     = 100_000
	cpuQuotaMicrosMin   = 1_000
	cgroupRemoveTimeout = time.Second
)

// Config says where and how a node runs processes.
type Config struct {
	Dir     string   // state directory of this node; absolute, made if missing
	Node    string   // the node's name, for logs
	Cluster string   // the cluster's name, for logs
	Shim    []string // argv prefix that runs Shim, e.g. {"/usr/bin/holon", "shim"}
	// Subnet gives each pod an address of its own from .2 up; every one must
	// be local to this host, as 127.77.k.0/24 is. Zero: pods have HostIP.
	Subnet      netip.Prefix
	HostIP      string       // the node's address, for host ports
	LogBytesMax int64        // size at which a log is rotated; 0: 10 MiB
	Logger      *slog.Logger // nil: discard

	// What an unprivileged host lacks, so that tests can take it away.
	withoutCgroups, withoutNamespaces, withoutMemory bool
}

func (c *Config) validate() error {
	if c.Dir == "" || !filepath.IsAbs(c.Dir) {
		return fmt.Errorf("Dir %q is not an absolute path", c.Dir)
	}
	if len(c.Shim) == 0 {
		return errors.New("Shim is empty: there is no program to run containers under")
	}
	if c.Subnet.IsValid() && (!c.Subnet.Addr().Is4() || c.Subnet.Bits() > 29) {
		return fmt.Errorf("Subnet %v is not an IPv4 network of at least 8 addresses", c.Subnet)
	}
	if _, err := netip.ParseAddr(c.HostIP); err != nil {
		return fmt.Errorf("HostIP: %w", err)
	}
	if c.LogBytesMax < 0 {
		return fmt.Errorf("LogBytesMax is %d", c.LogBytesMax)
	}
	if c.LogBytesMax == 0 {
		c.LogBytesMax = logBytesMaxDefault
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Dir = filepath.Clean(c.Dir)
	return nil
}
