package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// jobs are what the bench does as a child of itself, by the first word of -child.
// What they return is handed to the parent as JSON.
var jobs = map[string]func(ctx context.Context, b *bench, job string) (any, error){
	"wire":   wireJob,
	"deaths": deathsJob,
}

const jobResult = "result: "

// inNamespace has a child of the bench do a job in a network namespace of its own.
func (b *bench) inNamespace(ctx context.Context, job string, stdin io.Reader, result any) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "-bin", filepath.Dir(b.holon), "-child", job)
	cmd.Stdin = stdin
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
		return fmt.Errorf("in a network namespace: %w", err)
	}
	_, text, found := strings.Cut(out, jobResult)
	if !found {
		return fmt.Errorf("no result in %q", out)
	}
	return json.Unmarshal([]byte(text), result)
}

// runChild is the bench as a child of itself.
func runChild(ctx context.Context, o options) error {
	verb, job, _ := strings.Cut(o.child, " ")
	if verb == "member" { // of a cluster of processes, in the namespace of its parent
		return beMember(ctx, job)
	}
	b := newBench(o, filepath.Join(o.bin, "holon"))
	if verb == "api" {
		return b.profiled(func() error { return serveAPI(ctx, job) })
	}
	do, ok := jobs[verb]
	if !ok {
		return fmt.Errorf("there is no job %q", verb)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	result, err := do(ctx, b, job)
	if err != nil {
		return err
	}
	text, err := json.Marshal(result)
	fmt.Println(jobResult + string(text))
	return err
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
