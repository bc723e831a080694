package badger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockName is the store's own lock: it is held before the files are inspected,
// while Badger takes its lock only when it opens them.
const lockName = "holon.lock"

// acquire takes the directory for this process until the file is closed or the
// process ends, and leaves its pid for whoever comes too late.
func acquire(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, classify(dir, err)
	}
	if err := take(f, dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// The pid is a courtesy: a disk too full to hold it is reported by room.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

// release ends the lock by saying so: closing alone leaves it with a child that
// this process has forked and that has not begun its own program yet.
func release(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// take locks f, the lock file of dir, or says who has it.
func take(f *os.File, dir string) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		text, _ := io.ReadAll(io.LimitReader(f, 20))
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return &InUseError{dir, pid}
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}
