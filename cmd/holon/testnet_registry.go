package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
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

// changeRegistry runs fn while no other process can change the registry.
func changeRegistry(fn func(*registry) error) error {
	if err := os.MkdirAll(stateDir(), 0o700); err != nil {
		return err
	}
	unlock, err := lockFile(registryFile()+".lock", true)
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
// that nobody listens on.
func (r *registry) freeOctet(nodes int) (int, error) {
	taken := map[int]bool{}
	for _, e := range r.Testnets {
		taken[e.Octet] = true
	}
	var busy error
	for octet := firstOctet; octet <= lastOctet; octet++ {
		if taken[octet] {
			continue
		}
		err := canListen(octet, nodes)
		if err == nil {
			return octet, nil
		}
		busy = err
	}
	return 0, fmt.Errorf("no loopback addresses are free for another testnet (%w); take one down with 'holon testnet down --dir D'", busy)
}

// canListen tries the API and mesh addresses of every node.
func canListen(octet, nodes int) error {
	for k := 1; k <= nodes; k++ {
		for _, port := range []int{testnetAPIPort, testnetMeshPort} {
			l, err := net.Listen("tcp", net.JoinHostPort(testnetIP(octet, k), strconv.Itoa(port)))
			if err != nil {
				return err
			}
			l.Close() //nolint:errcheck // never used
		}
	}
	return nil
}
