package process

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A child that is being started holds copies of all descriptors for a moment. One of a
// process that has ended must not be reported again for that, nor must what has its
// number by then be closed.
func TestADescriptorThatAChildStillHolds(t *testing.T) {
	ended := make(chan *attempt, 1)
	w, err := newWatcher(func(a *attempt) { ended <- a })
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	program := exec.Command("sleep", "0.2")
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	shim, err := identify(program.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.add(&attempt{shim: shim}); err != nil {
		t.Fatal(err)
	}
	var number int
	w.mu.Lock()
	for fd := range w.attempts {
		number = int(fd)
	}
	w.mu.Unlock()
	held, err := unix.FcntlInt(uintptr(number), unix.F_DUPFD_CLOEXEC, number+1)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(held)
	<-ended
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	again := int(null.Fd())
	for again != number { // until the number is in use again
		if again, err = unix.FcntlInt(null.Fd(), unix.F_DUPFD_CLOEXEC, number); err != nil {
			t.Fatal(err)
		}
		if again > number {
			t.Fatalf("somebody else has taken descriptor %d", number)
		}
	}
	time.Sleep(100 * time.Millisecond)
	if _, err := unix.FcntlInt(uintptr(again), unix.F_GETFD, 0); err != nil {
		t.Errorf("the watcher has closed a descriptor of somebody else: %v", err)
	}
}
