//go:build remote

package podman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"holon/runtime"
)

const (
	// cleanStep bounds one podman command of the cleaning.
	cleanStep = 2 * time.Minute
	killWait  = 10 * time.Second
)

// CleanService removes a private service and all it made: containers, their
// processes and conmons, mounts, network, bridge, rules, the directory. It
// works whatever state they are in, also after SIGKILL of everything, and for
// a directory that is not there. What it cannot remove it names.
func CleanService(ctx context.Context, dir string) error {
	op := "clean the Podman service in " + dir
	dir, err := filepath.Abs(dir)
	if err != nil {
		return failed(op, err)
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s := &Service{Dir: dir}
	var problems []error
	traces := tracesOf(dir)
	if err := s.load(); err == nil {
		problems = append(problems, s.Stop(ctx), s.removeAll(ctx))
	} else if !errors.Is(err, fs.ErrNotExist) {
		problems = append(problems, err)
	}
	problems = append(problems, killAll(ctx, dir), traces.remove())
	if s.settings.Bridge != "" {
		problems = append(problems, removeRules(ctx, s.settings), removeBridge(ctx, s.settings.Bridge))
	}
	problems = append(problems, unmountAll(dir), os.RemoveAll(dir))
	if err := errors.Join(problems...); err != nil {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err, Next: "remove what is named by hand, then repeat"}
	}
	return nil
}

// traces are what a container's process shows of what the kernel keeps for it,
// for the case that Podman's own books are lost.
type traces struct {
	cgroups []string
	netns   []string // mount points in netnsDir
}

const netnsDir = "/run/netns"

func tracesOf(dir string) traces {
	var t traces
	named := make(map[uint64]string)
	files, _ := filepath.Glob(netnsDir + "/*")
	for _, f := range files {
		named[inode(f)] = f
	}
	for _, pid := range processesOf(dir) {
		lines, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		t.cgroups = append(t.cgroups, podCgroups(string(lines))...)
		if f := named[inode(fmt.Sprintf("/proc/%d/ns/net", pid))]; f != "" && !slices.Contains(t.netns, f) {
			t.netns = append(t.netns, f)
		}
	}
	return t
}

// inode returns the number of the file that path leads to, 0 if it cannot be
// read.
func inode(path string) uint64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Ino
}

// remove removes what is still there after all processes have ended.
func (t traces) remove() error {
	rest := litter{cgroups: t.cgroups}
	rest.sweepAll()
	var errs []error
	for _, f := range t.netns {
		if err := unix.Unmount(f, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", f, err))
		}
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeAll lets Podman remove its containers, with their networks, while
// nobody else works on the storage. The first try may fail on a container whose
// process and conmon were killed: Podman learns of it by failing.
func (s *Service) removeAll(ctx context.Context) error {
	ids, err := s.settings.command(ctx, s.Dir, "pod", "ps", "--quiet", "--no-trunc").Output()
	if err == nil {
		defer func() {
			var rest litter
			for _, id := range strings.Fields(string(ids)) {
				rest.add("/libpod_parent/" + id)
			}
			rest.sweepAll()
		}()
	}
	for range removeTries {
		err = errors.Join(
			s.run(ctx, "pod", "rm", "--all", "--force", "--time", "0"),
			s.run(ctx, "rm", "--all", "--force", "--time", "0"))
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

// run runs one podman command on the service's storage.
func (s *Service) run(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanStep)
	defer cancel()
	out, err := s.settings.command(ctx, s.Dir, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("podman %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// killAll kills the processes that belong to the service in dir: conmon and
// podman by their arguments, the containers' own by their root file system.
// It repeats until none is left, since a conmon that ends starts a podman.
func killAll(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, killWait)
	defer cancel()
	for {
		left := processesOf(dir)
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			if p, err := os.FindProcess(pid); err == nil {
				if belongs(pid, dir) {
					_ = p.Kill()
				}
				_ = p.Release()
			}
		}
		select {
		case <-time.After(startPoll):
		case <-ctx.Done():
			return fmt.Errorf("processes %v do not end", left)
		}
	}
}

func processesOf(dir string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != os.Getpid() && belongs(pid, dir) {
			out = append(out, pid)
		}
	}
	return out
}

// belongs reports whether a process is Podman's or conmon's with storage in
// dir, or one whose root file system is there.
func belongs(pid int, dir string) bool {
	if _, err := startTime(pid); err != nil {
		return false // gone, or a zombie
	}
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	args := strings.Split(string(cmdline), "\x00")
	switch filepath.Base(args[0]) {
	case "conmon", "podman":
		under := func(a string) bool { return strings.HasPrefix(a, dir+"/") }
		if slices.ContainsFunc(args, under) {
			return true
		}
	}
	for _, m := range mounts(fmt.Sprintf("/proc/%d/mountinfo", pid)) {
		if m.point == "/" && strings.Contains(m.options, "upperdir="+dir+"/root/") {
			return true
		}
	}
	return false
}

type mount struct{ point, options string }

// mounts reads a mountinfo file (proc_pid_mountinfo(5)).
func mounts(path string) []mount {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var out []mount
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 7 {
			continue
		}
		point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(f[4])
		out = append(out, mount{point: point, options: f[len(f)-1]})
	}
	return out
}

// unmountAll unmounts what is mounted below dir, the newest first.
func unmountAll(dir string) error {
	all := mounts("/proc/self/mountinfo")
	slices.Reverse(all)
	var errs []error
	for _, m := range all {
		if !strings.HasPrefix(m.point, dir+"/") {
			continue
		}
		if err := unix.Unmount(m.point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m.point, err))
		}
	}
	return errors.Join(errs...)
}

// removeBridge removes the service's bridge if it is still there: netavark
// removes it with the last container, unless it was killed in between.
func removeBridge(ctx context.Context, name string) error {
	if _, err := os.Stat("/sys/class/net/" + name); err != nil {
		return nil
	}
	out, err := exec.CommandContext(ctx, "ip", "link", "delete", name).CombinedOutput()
	if err != nil {
		return fmt.Errorf("delete bridge %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// removeRules removes the iptables rules and chains that still speak of the
// service's subnet or network.
func removeRules(ctx context.Context, s settings) error {
	if _, err := exec.LookPath("iptables"); err != nil {
		return nil // then netavark made none
	}
	var errs []error
	for _, table := range []string{"nat", "filter"} {
		errs = append(errs, removeTableRules(ctx, table, s))
	}
	return errors.Join(errs...)
}

func removeTableRules(ctx context.Context, table string, s settings) error {
	run := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "iptables", append([]string{"-w", "-t", table}, args...)...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("iptables %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
		return string(out), err
	}
	rules, err := run("-S")
	if err != nil {
		return err
	}
	var errs []error
	chains := make(map[string]bool)
	for line := range strings.Lines(rules) {
		line = strings.TrimSpace(line)
		rule, isRule := strings.CutPrefix(line, "-A ")
		if !isRule || !strings.Contains(line, s.Subnet) && !strings.Contains(line, `"dnat name: `+s.Network+" ") {
			continue
		}
		args := splitRule(rule)
		if i := slices.Index(args, "-j"); i >= 0 && i+1 < len(args) && isNetworkChain(args[i+1]) {
			chains[args[i+1]] = true
		}
		_, err := run(append([]string{"-D"}, args...)...)
		errs = append(errs, err)
	}
	for chain := range chains {
		_, err1 := run("-F", chain)
		_, err2 := run("-X", chain)
		errs = append(errs, err1, err2)
	}
	return errors.Join(errs...)
}

// isNetworkChain tells the chains of one network from those that netavark
// shares between all.
func isNetworkChain(name string) bool {
	return strings.HasPrefix(name, "NETAVARK-") && !strings.HasPrefix(name, "NETAVARK-HOSTPORT-")
}

// splitRule splits a rule as iptables -S prints it, with quoted comments.
func splitRule(rule string) []string {
	var out []string
	for i, part := range strings.Split(rule, `"`) {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}
