package hosts

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Control groups are the one thing that hosts share by name: every Podman makes
// /libpod_parent/POD. Which pods were a host's own is in its Podman's log of events,
// also of those whose group was left behind without a process in it.

const cgroupRoot = "/sys/fs/cgroup"

// cgroups lists the groups that are there of all pods that the host has ever had: a
// pod that starts again after a boot was made before it.
func (h *Host) cgroups() ([]string, error) {
	log, err := os.Open(h.at("events.log"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer log.Close()
	var pods []string
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var event struct{ ID, Type string }
		// The last line may be half written by what a power cut has ended.
		if json.Unmarshal(lines.Bytes(), &event) == nil && event.Type == "pod" && event.ID != "" && !slices.Contains(pods, event.ID) {
			pods = append(pods, event.ID)
		}
	}
	var groups []string
	for _, pod := range pods {
		for _, pattern := range []string{cgroupRoot, cgroupRoot + "/*"} { // one hierarchy, or many
			found, err := filepath.Glob(filepath.Join(pattern, "libpod_parent", pod))
			if err != nil {
				return nil, err
			}
			groups = append(groups, found...)
		}
	}
	return groups, lines.Err()
}

// groupsLimit is how long the kernel may take to see that a group is empty.
const groupsLimit = 5 * time.Second

// removeCgroups removes the groups of a host in which nothing runs any more, as
// the end of its kernel would.
func (h *Host) removeCgroups(ctx context.Context) error {
	groups, err := h.cgroups()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, groupsLimit)
	defer cancel()
	for {
		var problems []error
		groups = slices.DeleteFunc(groups, func(group string) bool {
			err := removeTree(group)
			problems = append(problems, err)
			return err == nil
		})
		if len(groups) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("control groups of %s: %w", h.Name, errors.Join(problems...))
		case <-time.After(lookEvery): // nothing tells of a group of v1 that got empty
		}
	}
}

// removeTree removes a group and those in it. Their files are no files.
func removeTree(group string) error {
	entries, err := os.ReadDir(group)
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeTree(filepath.Join(group, e.Name())))
		}
	}
	if err == nil {
		err = os.Remove(group)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
