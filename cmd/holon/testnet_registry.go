package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// registry lists the testnets of this user: which one was started last, and
// which addresses are taken, also by testnets whose nodes are down right now.
type registry struct {
	Last     string          `json:"last,omitempty"`
	Testnets []registryEntry `json:"testnets"`
}

type registryEntry struct {
	Dir   string `json:"dir"`
	Octet int    `json:"octet"`
}

// Second octets that testnets use: 127.77.0.0/16 and on.
const (
	firstOctet = 77
	lastOctet  = 176
)

func stateDir() string { return userDir("XDG_STATE_HOME", ".local/state") }

func registryFile() string { return filepath.Join(stateDir(), "testnets.json") }

// readRegistry drops testnets that are gone.
func readRegistry() (registry, error) {
	var r registry
	err := readJSON(registryFile(), &r)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	var there []registryEntry
	last := ""
	for _, e := range r.Testnets {
		if _, err := os.Stat(filepath.Join(e.Dir, stateFileName)); err != nil {
			continue
		}
		there = append(there, e)
		if e.Dir == r.Last {
			last = r.Last
		}
	}
	if last == "" && len(there) > 0 {
		last = there[len(there)-1].Dir
	}
	return registry{last, there}, nil
}

// lastTestnet is the directory of the testnet that was started last.
func lastTestnet() (string, error) {
	r, err := readRegistry()
	if err != nil {
		return "", err
	}
	if r.Last == "" {
		return "", errors.New("there is no testnet; start one with 'holon testnet up'")
	}
	return r.Last, nil
}

// registryPatience bounds the wait for another `up`, which holds the registry
// only while it tries addresses.
const registryPatience = 15 * time.Second

// changeRegistry runs fn while no other process can change the registry.
func (a *app) changeRegistry(ctx context.Context, fn func(*registry) error) error {
	if err := os.MkdirAll(stateDir(), 0o700); err != nil {
		return err
	}
	file := registryFile() + ".lock"
	wait := a.startProgress("waiting for another 'holon testnet up' that chooses its addresses (%s)", file)
	unlock, err := lockFile(ctx, file, registryPatience)
	wait.stop()
	if errors.Is(err, errLocked) {
		return fmt.Errorf("%s is not free after %v: %w", file, registryPatience, err)
	}
	if err != nil {
		return err
	}
	defer unlock()
	r, err := readRegistry()
	if err != nil {
		return err
	}
	if err := fn(&r); err != nil {
		return err
	}
	return writeJSON(registryFile(), r)
}

// freeOctet finds addresses that no other testnet of this user has recorded and
// that nobody listens on, and keeps others from taking them until release.
func (r *registry) freeOctet(nodes int) (octet int, release func(), err error) {
	taken := map[int]bool{}
	for _, e := range r.Testnets {
		taken[e.Octet] = true
	}
	busy := errors.New("all are taken")
	for octet := firstOctet; octet <= lastOctet; octet++ {
		if taken[octet] {
			continue
		}
		release, err := reserve(octet)
		if err == nil {
			err = canListen(octet, nodes)
			if err == nil {
				return octet, release, nil
			}
			release()
		}
		busy = err
	}
	return 0, nil, fmt.Errorf("no loopback addresses are free for another testnet (%w); take one down with 'holon testnet down --dir D'", busy)
}

// reserve claims addresses while their nodes do not listen yet, against other
// users as well. The claim is an abstract socket: it belongs to the network
// namespace, as the addresses do, and ends with this process.
func reserve(octet int) (release func(), err error) {
	l, err := net.Listen("unix", fmt.Sprintf("@holon-testnet-%d", octet))
	if err != nil {
		return nil, err
	}
	return func() { closeQuietly(l) }, nil
}

// canListen tries the API and mesh addresses of every node.
func canListen(octet, nodes int) error {
	for k := 1; k <= nodes; k++ {
		for _, port := range []int{testnetAPIPort, testnetMeshPort} {
			l, err := net.Listen("tcp", net.JoinHostPort(testnetIP(octet, k), strconv.Itoa(port)))
			if err != nil {
				return err
			}
			closeQuietly(l)
		}
	}
	return nil
}

// closeQuietly closes what was never used, so that nothing can be lost.
func closeQuietly(c io.Closer) { _ = c.Close() }
