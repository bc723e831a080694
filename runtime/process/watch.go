package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// watcher waits for the end of every shim with one goroutine and one epoll:
// a pidfd becomes readable when its process ends.
type watcher struct {
	epoll int
	wake  int // eventfd that ends the loop
	ended func(*attempt)
	loop  sync.WaitGroup
	once  sync.Once

	mu       sync.Mutex
	attempts map[int32]*attempt // by pidfd
	closed   bool
}

func newWatcher(ended func(*attempt)) (*watcher, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)})
	}
	if err == nil {
		var self int
		if self, err = unix.PidfdOpen(unix.Getpid(), 0); err == nil {
			unix.Close(self)
		}
	}
	if err != nil {
		unix.Close(epoll)
		unix.Close(wake)
		return nil, fmt.Errorf("watch processes: %w", err)
	}
	w := &watcher{epoll: epoll, wake: wake, ended: ended, attempts: map[int32]*attempt{}}
	w.loop.Go(w.run)
	return w, nil
}

// add watches the shim of an attempt; ended is called once, also if the shim
// is gone already.
func (w *watcher) add(a *attempt) error {
	fd, err := a.shim.open()
	if errors.Is(err, unix.ESRCH) {
		reap(a.shim.PID)
		w.loop.Go(func() { w.ended(a) })
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch shim %d: %w", a.shim.PID, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		unix.Close(fd)
		return nil
	}
	w.attempts[int32(fd)] = a
	if err := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
		delete(w.attempts, int32(fd))
		unix.Close(fd)
		return fmt.Errorf("watch shim %d: %w", a.shim.PID, err)
	}
	return nil
}

// reap collects a child of ours that has ended; a shim of a former daemon is
// not our child.
func reap(pid int) { unix.Wait4(pid, nil, unix.WNOHANG, nil) }

func (w *watcher) run() {
	events := make([]unix.EpollEvent, watchEventsMax)
	for {
		n, err := unix.EpollWait(w.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, e := range events[:max(n, 0)] {
			if int(e.Fd) == w.wake {
				return
			}
			w.mu.Lock()
			a := w.attempts[e.Fd]
			delete(w.attempts, e.Fd)
			w.mu.Unlock()
			if a == nil {
				continue
			}
			// Closing alone does not take it out while a child that is being started holds a
			// copy: then it is reported again, under a number that is another file's by now.
			unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, int(e.Fd), nil)
			unix.Close(int(e.Fd))
			reap(a.shim.PID)
			w.ended(a)
		}
	}
}

func (w *watcher) close() error {
	w.once.Do(func() {
		unix.Write(w.wake, binary.NativeEndian.AppendUint64(nil, 1))
		w.loop.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.closed = true
		for fd := range w.attempts {
			unix.Close(int(fd))
		}
		clear(w.attempts)
		unix.Close(w.epoll)
		unix.Close(w.wake)
	})
	return nil
}
