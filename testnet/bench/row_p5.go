package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wireBytes is P5. Each cluster lives in a network namespace of its own, whose
// loopback then carries what the members say to each other and nothing else:
// payload, headers, acknowledgements, heartbeats, divided by the writes.
func wireBytes(ctx context.Context, b *bench) error {
	for range b.rounds {
		for _, c := range []struct {
			members int
			rate    float64
			peer    string
			goal    goal
		}{
			{10, 20, "gossip", atMost("<= 1.1x", 1.1)}, {10, 500, "gossip", atMost("<= 0.35x", 0.35)},
			{3, 20, "etcd", atMost("<= 1.0x", 1)}, {3, 500, "etcd", atMost("<= 1.0x", 1)},
		} {
			ours, err := b.wire(ctx, "holon", c.members, c.rate, nil)
			if err != nil {
				return err
			}
			theirs, err := b.wire(ctx, c.peer, c.members, c.rate, ours.Record)
			if err != nil {
				return err
			}
			peer := map[string]string{"gossip": "raw GossipSub", "etcd": "etcd"}[c.peer]
			what := fmt.Sprintf("N=%d, %.0f/s", c.members, c.rate)
			b.figure("P5", what, "B/write", peer, c.goal).add(ours.perWrite(), theirs.perWrite())
			b.figure("P5", what+", idle", "B/s", peer, goal{}).add(ours.Idle, theirs.Idle)
		}
	}
	return nil
}

// wire is what a child measured in its namespace.
type wire struct {
	Writes float64
	Bytes  float64 // while they were written and until all showed them
	Idle   float64 // bytes per second without writes
	Record []byte  // of holon, for raw GossipSub
}

func (w wire) perWrite() float64 { return w.Bytes / w.Writes }

// wireCalm is how long what was said before may go on: GossipSub offers messages
// again for three seconds.
const wireCalm = 6 * time.Second

const wireResult = "wire: "

func (b *bench) wire(ctx context.Context, cluster string, members int, rate float64, record []byte) (wire, error) {
	length := b.scaled(10, 5)
	self, err := os.Executable()
	if err != nil {
		return wire{}, err
	}
	cmd := exec.CommandContext(ctx, self, "-child", fmt.Sprintf("%s %d %.0f %d", cluster, members, rate, length))
	cmd.Stdin = bytes.NewReader(record)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	out, err := output(cmd)
	if err != nil {
		return wire{}, fmt.Errorf("in a network namespace: %w", err)
	}
	var result wire
	_, text, found := strings.Cut(out, wireResult)
	if !found {
		return wire{}, fmt.Errorf("no result in %q", out)
	}
	return result, json.Unmarshal([]byte(text), &result)
}

// runChild is the bench inside a network namespace of its own.
func runChild(ctx context.Context, o options) error {
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	var kind string
	var members, length int
	var rate float64
	if _, err := fmt.Sscanf(o.child, "%s %d %f %d", &kind, &members, &rate, &length); err != nil {
		return err
	}
	body := func(c cluster, result *wire) error {
		return measureWire(ctx, c, rate, time.Duration(length)*time.Second, result)
	}
	var result wire
	var err error
	switch kind {
	case "holon":
		err = withParts(ctx, members, smallValue, func(p *parts) error {
			err := body(p, &result)
			result.Record = p.nodes[0].store.recordOf(write{})
			return err
		})
	case "gossip":
		record, readErr := io.ReadAll(os.Stdin)
		if readErr != nil {
			return readErr
		}
		err = withGossip(ctx, members, func(w write) []byte { return withMarker(record, w) }, func(g *gossip) error { return body(g, &result) })
	case "etcd":
		err = withDir(func(dir string) error {
			e, err := startEtcd(ctx, dir, smallValue, true)
			if err != nil {
				return err
			}
			defer e.close()
			return body(e, &result)
		})
	default:
		err = fmt.Errorf("there is no cluster %q", kind)
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(result)
	fmt.Println(wireResult + string(text))
	return err
}

func measureWire(ctx context.Context, c cluster, rate float64, length time.Duration, result *wire) error {
	var ids numbers
	if _, carries := c.(*gossip); !carries { // what it says does not depend on what was said before
		if err := prefill(ctx, c, &ids); err != nil {
			return err
		}
	}
	if err := sleep(ctx, wireCalm); err != nil {
		return err
	}
	before, err := loopbackBytes()
	if err != nil {
		return err
	}
	const quiet = 3 * time.Second
	if err := sleep(ctx, quiet); err != nil {
		return err
	}
	idle, err := loopbackBytes()
	if err != nil {
		return err
	}
	if _, err := lossy(ctx, c, &ids, rate, length, time.Second); err != nil {
		return err
	}
	after, err := loopbackBytes()
	*result = wire{Writes: rate * length.Seconds(), Bytes: after - idle, Idle: (idle - before) / quiet.Seconds()}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// loopbackUp is `ip link set lo up`.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// loopbackBytes reads how many bytes loopback has carried.
func loopbackBytes() (float64, error) {
	text, err := os.ReadFile("/proc/self/net/dev")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		name, counts, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) == "lo" {
			return strconv.ParseFloat(strings.Fields(counts)[0], 64)
		}
	}
	return 0, fmt.Errorf("no loopback in %q", text)
}
