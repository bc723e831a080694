package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"

	"golang.org/x/sys/unix"
)

// Exit codes of a command that could not be run, as in POSIX shells.
const (
	codeNotExecutable = 126
	codeNotFound      = 127
)

// execShim becomes a command in the container of an attempt: same groups,
// mounts, environment and working directory. What keeps it from trying goes to
// fd 3; a command that cannot be run is an exit code, as in a shell.
func execShim(dir string, argv []string) int {
	unix.CloseOnExec(lockFD)
	trouble := os.NewFile(lockFD, "trouble")
	goruntime.LockOSThread()
	var order startOrder
	if err := enterContainer(dir, &order); err != nil {
		fmt.Fprint(trouble, err)
		return codeNotExecutable
	}
	if os.Getenv("TERM") != "" {
		order.Env = append(order.Env, "TERM="+os.Getenv("TERM"))
	}
	path, err := lookPath(argv[0], order.Env, order.WorkingDir)
	if err == nil {
		err = unix.Exec(path, argv, order.Env)
	}
	fmt.Fprintln(os.Stderr, cause(badCommand(argv[0], err)))
	if errors.Is(err, unix.EACCES) {
		return codeNotExecutable
	}
	return codeNotFound
}

func enterContainer(dir string, order *startOrder) error {
	var state attemptState
	if err := errors.Join(
		readJSON(filepath.Join(dir, startFile), startFileBytesMax, order),
		readJSON(filepath.Join(dir, stateFile), stateFileBytesMax, &state),
	); err != nil {
		return err
	}
	order.Env = append(order.Env, secretsOf(state.Main, order.SecretEnv)...)
	groups := order.Cgroups.V1
	if order.Cgroups.Track != "" {
		groups = append(groups, order.Cgroups.Track)
	}
	for _, group := range groups {
		if err := writeCgroup(group, "cgroup.procs", "0"); err != nil {
			return fmt.Errorf("enter control group: %w", err)
		}
	}
	if order.Private && len(order.Mounts) > 0 {
		if err := joinMounts(state.Main); err != nil {
			return fmt.Errorf("enter mount namespace: %w", err)
		}
	}
	return order.Identity.become(order.WorkingDir)
}

// joinMounts moves the calling, locked thread to the mounts of a process.
func joinMounts(main processID) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", main.PID))
	if err != nil {
		return err
	}
	defer ns.Close()
	if !main.alive() { // opened first: the namespace is that of a living main
		return errors.New("the container has exited")
	}
	// A thread that shares its root with others may not change namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS)
}
