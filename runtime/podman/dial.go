//go:build remote

package podman

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	goruntime "runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"holon/runtime"
)

// Dial implements runtime.Runtime. Root enters the pod's network, so that programs that
// listen on localhost are reached, too, as by the kubelet; others connect to the pod's
// address if it has one.
func (r *Runtime) Dial(ctx context.Context, run runtime.RunID, port int) (net.Conn, error) {
	op := fmt.Sprintf("connect to port %d of pod %s", port, podName(run))
	v, err := r.view(ctx, run)
	if err != nil {
		return nil, err
	}
	if v == nil || v.infra == nil {
		return nil, notFound(op, "it is not there")
	}
	at := strconv.Itoa(port)
	conn, err := dialWithin(ctx, v.infra.Pid, net.JoinHostPort("127.0.0.1", at))
	if errors.Is(err, errOutside) {
		ip, ipErr := r.podIP(ctx, v)
		if ipErr != nil {
			return nil, ipErr
		}
		if ip == "" {
			return nil, failed(op, fmt.Errorf("%w, and it has no address that others reach: publish a hostPort", err))
		}
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(ip, at))
	}
	if err != nil {
		return nil, failed(op, err)
	}
	return conn, nil
}

// errOutside: this process may not enter the pod's network, or there is none to be seen.
var errOutside = errors.New("the pod's network cannot be entered")

// dialWithin connects from inside the network namespace of a process. A socket belongs to
// the namespace of the thread that makes it, whoever uses it later. A thread that does not
// get back ends with its goroutine.
func dialWithin(ctx context.Context, pid int, address string) (conn net.Conn, err error) {
	inside, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errOutside, err)
	}
	defer inside.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		goruntime.LockOSThread()
		home, openErr := os.Open("/proc/thread-self/ns/net")
		if openErr != nil {
			err = openErr
			return
		}
		defer home.Close()
		if setErr := unix.Setns(int(inside.Fd()), unix.CLONE_NEWNET); setErr != nil {
			goruntime.UnlockOSThread()
			err = fmt.Errorf("%w: %v", errOutside, setErr)
			return
		}
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, "tcp", address)
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			goruntime.UnlockOSThread()
		}
	}()
	<-done
	return conn, err
}
