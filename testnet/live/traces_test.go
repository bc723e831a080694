package live

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// traces is what a testnet leaves on the machine while it lives, and must not
// leave when it is down.
type traces struct {
	dir     string
	pids    map[int]string // every process of it, with its start time
	bridge  string
	subnet  string
	sockets []string // bound to addresses of its nodes and pods
	netns   []string
	cgroups []string
}

// traces looks before `down` at what must be gone after it.
func (n *network) traces() traces {
	tr := traces{dir: n.dir, pids: map[int]string{}}
	for _, pid := range processes() {
		if tr.owns(pid) {
			tr.pids[pid] = startTime(pid)
			tr.cgroups = append(tr.cgroups, podCgroups(pid)...)
			tr.netns = append(tr.netns, namedNetns(pid)...)
		}
	}
	var service struct{ Bridge, Subnet string }
	if data, err := os.ReadFile(n.at("net", "podman", "service.json")); err == nil && json.Unmarshal(data, &service) == nil {
		tr.bridge, tr.subnet = service.Bridge, service.Subnet
	}
	var state struct{ Octet int }
	if data, err := os.ReadFile(n.at("net", "testnet.json")); err == nil && json.Unmarshal(data, &state) == nil {
		tr.sockets = sockets(fmt.Sprintf("127.%d.", state.Octet))
	}
	return tr
}

// owns reports whether a process belongs to the testnet: its arguments, its
// working directory, its environment or its root file system lead to it.
func (tr *traces) owns(pid int) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	for _, file := range []string{"cmdline", "environ", "mountinfo"} {
		data, err := os.ReadFile(filepath.Join(proc, file))
		if err != nil {
			continue
		}
		if file == "mountinfo" {
			first, _, _ := strings.Cut(string(data), "\n")
			data = []byte(first)
		}
		if strings.Contains(string(data), tr.dir+"/") {
			return pid != os.Getpid()
		}
	}
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	return err == nil && strings.HasPrefix(cwd, tr.dir+"/") && pid != os.Getpid()
}

// left names what is still there.
func (tr *traces) left() []string {
	var left []string
	for pid, start := range tr.pids {
		if now := startTime(pid); now == start && now != "" {
			cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			left = append(left, fmt.Sprintf("process %d: %s", pid, strings.ReplaceAll(string(cmdline), "\x00", " ")))
		}
	}
	for _, pid := range processes() {
		if _, known := tr.pids[pid]; !known && tr.owns(pid) {
			left = append(left, fmt.Sprintf("new process %d", pid))
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, tr.dir+"/") {
			left = append(left, "mount "+line)
		}
	}
	for _, path := range append(tr.netns, tr.cgroups...) {
		if _, err := os.Stat(path); err == nil {
			left = append(left, path)
		}
	}
	now := sockets("127.")
	for _, s := range tr.sockets {
		if slices.Contains(now, s) {
			left = append(left, s)
		}
	}
	if tr.bridge != "" {
		if _, err := os.Stat("/sys/class/net/" + tr.bridge); err == nil {
			left = append(left, "network interface "+tr.bridge)
		}
		rules, _ := exec.Command("iptables-save").Output()
		for line := range strings.Lines(string(rules)) {
			if strings.Contains(line, tr.subnet) {
				left = append(left, "iptables rule "+line)
			}
		}
	}
	if entries, err := os.ReadDir(filepath.Join(tr.dir, "net")); err == nil {
		left = append(left, fmt.Sprintf("directory with %v", entries))
	}
	return left
}

func processes() []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// startTime tells two processes with the same pid apart (proc(5), field 22); it
// is empty for a process that is gone or only waits for its parent to notice.
func startTime(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}

// podCgroups lists the control groups of a process which holon or Podman made.
func podCgroups(pid int) []string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	var paths []string
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && (strings.Contains(parts[2], "libpod") || strings.Contains(parts[2], "holon")) {
			paths = append(paths, filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(parts[1], "name="), parts[2]))
		}
	}
	return paths
}

// namedNetns lists the names under which a process's network namespace is kept.
func namedNetns(pid int) []string {
	own, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil
	}
	files, _ := filepath.Glob("/run/netns/*")
	var paths []string
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && os.SameFile(own, info) {
			paths = append(paths, f)
		}
	}
	return paths
}

// sockets lists the sockets that are bound to addresses with a prefix, each with
// its number, since another testnet may soon have the same address.
func sockets(prefix string) []string {
	var found []string
	for _, table := range []string{"tcp", "udp"} {
		data, _ := os.ReadFile("/proc/net/" + table)
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 10 || table == "tcp" && f[3] != "0A" {
				continue
			}
			raw, err := strconv.ParseUint(strings.SplitN(f[1], ":", 2)[0], 16, 32)
			if err != nil {
				continue
			}
			address := fmt.Sprintf("%d.%d.%d.%d", raw&255, raw>>8&255, raw>>16&255, raw>>24)
			if strings.HasPrefix(address, prefix) {
				found = append(found, fmt.Sprintf("%s socket %s on %s", table, f[9], address))
			}
		}
	}
	return found
}

// TestTracesAreSeen plants a process and a mount in a directory and wants both
// found, and gone when they are gone.
func TestTracesAreSeen(t *testing.T) {
	n := &network{t: t, dir: t.TempDir()}
	if err := os.Mkdir(n.at("net"), 0o700); err != nil {
		t.Fatal(err)
	}
	mount := func(args ...string) {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	mount("mount", "-t", "tmpfs", "none", n.at("net"))
	planted := exec.Command("sleep", "1000")
	planted.Dir = n.at("net")
	if err := planted.Start(); err != nil {
		t.Fatal(err)
	}
	before := n.traces()
	text := strings.Join(before.left(), "\n")
	if want := fmt.Sprintf("process %d: sleep 1000", planted.Process.Pid); !strings.Contains(text, want) {
		t.Errorf("the planted process is not seen: %s", text)
	}
	if !strings.Contains(text, "mount ") {
		t.Errorf("the planted mount is not seen: %s", text)
	}
	began := time.Now()
	_ = planted.Process.Kill()
	_ = planted.Wait()
	mount("umount", n.at("net"))
	if err := os.Remove(n.at("net")); err != nil {
		t.Fatal(err)
	}
	if left := before.left(); len(left) > 0 {
		t.Errorf("still seen %v after it was removed: %v", time.Since(began), left)
	}
}
