package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processID names one process for ever: a PID and the start time that the
// kernel gave it (proc(5), field 22 of stat, in clock ticks since boot).
type processID struct {
	PID   int
	Start uint64
}

// procStat is what we need of /proc/PID/stat.
type procStat struct {
	processID
	state   byte
	parent  int
	session int
	// Clock ticks that it has computed for, and those of its children that it waited for.
	own, waited uint64
}

func readStat(pid int) (procStat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	// The name in parentheses may hold anything, parentheses too.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return procStat{}, fmt.Errorf("/proc/%d/stat: %q", pid, data)
	}
	parent, err1 := strconv.Atoi(string(fields[1]))
	session, err2 := strconv.Atoi(string(fields[3]))
	start, err3 := strconv.ParseUint(string(fields[19]), 10, 64)
	own, err4 := addTicks(fields[11:13])
	waited, err5 := addTicks(fields[13:15])
	return procStat{
		processID: processID{pid, start}, state: fields[0][0], parent: parent, session: session, own: own, waited: waited,
	}, errors.Join(err1, err2, err3, err4, err5)
}

// addTicks adds time in user mode and in the kernel.
func addTicks(fields [][]byte) (sum uint64, err error) {
	for _, f := range fields {
		n, failed := strconv.ParseUint(string(f), 10, 64)
		sum, err = sum+n, errors.Join(err, failed)
	}
	return sum, err
}

// identify returns the identity of a process that is known to live.
func identify(pid int) (processID, error) {
	s, err := readStat(pid)
	return s.processID, err
}

// open returns a pidfd of the process, or an error if it is gone, also when
// its PID is in use again.
func (p processID) open() (int, error) {
	if p.PID <= 0 {
		return -1, unix.ESRCH
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return -1, err
	}
	// The pidfd pins the process, so a start time read after it is its own.
	if now, err := identify(p.PID); err != nil || now.Start != p.Start {
		unix.Close(fd)
		return -1, unix.ESRCH
	}
	return fd, nil
}

// signal sends sig, if the process is still there.
func (p processID) signal(sig unix.Signal) error {
	fd, err := p.open()
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(fd)
	return ignoreGone(unix.PidfdSendSignal(fd, sig, nil, 0))
}

func ignoreGone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// alive reports whether the process runs; a zombie does not.
func (p processID) alive() bool {
	s, err := readStat(p.PID)
	return err == nil && s.Start == p.Start && s.state != 'Z' && s.state != 'X'
}

// awaitGone waits until the process has ended, at most timeout.
func (p processID) awaitGone(timeout time.Duration) bool {
	fd, err := p.open()
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	deadline := time.Now().Add(timeout)
	for {
		left := time.Until(deadline)
		if left < 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if n > 0 || (err != nil && !errors.Is(err, unix.EINTR)) {
			return true
		}
	}
}

// processes calls visit for every process of the host.
func processes(visit func(procStat)) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, err := readStat(pid); err == nil {
			visit(s)
		}
	}
}

// killSession kills every process of a session.
func killSession(session int) {
	processes(func(s procStat) {
		if s.session == session && s.state != 'Z' {
			s.signal(unix.SIGKILL)
		}
	})
}

// killChildren kills every child of pid and reports how many there were.
func killChildren(pid int) int {
	n := 0
	processes(func(s procStat) {
		if s.parent == pid && s.state != 'Z' {
			s.signal(unix.SIGKILL)
			n++
		}
	})
	return n
}

// killMarked kills every process that has HOLON_POD_DIR in or under dir in
// its environment, until a look finds none. It is the last resort where there
// are no control groups: a program that has cleared its environment escapes.
func killMarked(dir string) error {
	marker := []byte("\x00" + podDirEnv + "=" + dir)
	deadline := time.Now().Add(killTimeout)
	for {
		found := 0
		processes(func(s procStat) {
			env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.PID))
			if err != nil || s.PID == os.Getpid() {
				return
			}
			_, after, marked := bytes.Cut(append([]byte{0}, env...), marker)
			if marked && len(after) > 0 && (after[0] == 0 || after[0] == '/') && s.state != 'Z' {
				s.signal(unix.SIGKILL)
				found++
			}
		})
		if found == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes of %s cannot be killed", found, dir)
		}
		time.Sleep(10 * time.Millisecond) // several processes, none ours: nothing to wait on
	}
}

// processName returns the name of a process for a sentence.
func processName(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(name))
}

// socketOwner returns the PID that has the socket inode open, or 0.
func socketOwner(inode string) int {
	want := "socket:[" + inode + "]"
	owner := 0
	processes(func(s procStat) {
		if owner != 0 {
			return
		}
		dir := fmt.Sprintf("/proc/%d/fd", s.PID)
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrPermission) {
			return
		}
		for _, e := range entries {
			if link, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && link == want {
				owner = s.PID
				return
			}
		}
	})
	return owner
}
