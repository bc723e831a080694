package badger

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// What a caller may ask for with errors.Is.
var (
	ErrInUse       = errors.New("data directory in use")
	ErrDiskFull    = errors.New("disk full")
	ErrReadOnly    = errors.New("data directory not writable")
	ErrFailed      = errors.New("store failed")
	ErrClosed      = errors.New("store closed")
	ErrBatchTooBig = errors.New("batch too big")
	ErrNewerFormat = errors.New("written by a newer holon; start that version again")
)

// InUseError says that another process has the directory open; it is ErrInUse.
type InUseError struct {
	Dir string
	PID int // 0 if unknown
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("%v: %s has %s open; stop it, or give this node a data directory of its own", ErrInUse, who, e.Dir)
}

func (e *InUseError) Is(target error) bool { return target == ErrInUse }

// DiskFullError says how much room is missing; it is ErrDiskFull.
type DiskFullError struct {
	Dir        string
	Free, Need int64 // bytes; both 0 if the file system did not say
}

func (e *DiskFullError) Error() string {
	if e.Need == 0 {
		return fmt.Sprintf("%v: no room in %s; free some on that disk", ErrDiskFull, e.Dir)
	}
	return fmt.Sprintf("%v: %.1f MiB free at %s, at least %.1f are needed; free some, nothing has been lost",
		ErrDiskFull, float64(e.Free)/(1<<20), e.Dir, float64(e.Need)/(1<<20))
}

func (e *DiskFullError) Is(target error) bool { return target == ErrDiskFull }

// FailedError says why a store acknowledges nothing any more; it is ErrFailed.
type FailedError struct {
	Dir   string
	Cause error
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("%v: %v (in %s); nothing more is acknowledged. Look at the disk (dmesg), then restart the node", ErrFailed, e.Cause, e.Dir)
}

func (e *FailedError) Is(target error) bool { return target == ErrFailed }

func (e *FailedError) Unwrap() error { return e.Cause }

// CorruptFileError names a damaged file of the store, which was not opened.
type CorruptFileError struct {
	File  string
	Cause error
}

func (e *CorruptFileError) Error() string {
	return fmt.Sprintf("damaged file %s: %v; move the directory of the database away, and only that, and start the node again: it keeps its identity and gets its state from its peers", e.File, e.Cause)
}

func (e *CorruptFileError) Unwrap() error { return e.Cause }

// Corrupt is one pair that could not be read back as it was written.
type Corrupt struct {
	Key        string
	Cause      error
	Quarantine string // the key under which its bytes are kept; empty if they are not
}

// CorruptError lists the damaged pairs that Load met. They have been taken out
// of the store: whoever owns the keys must fetch them again from somewhere.
type CorruptError struct {
	Records []Corrupt // the first maxReported
	Count   int
}

const maxReported = 1000

func (e *CorruptError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d damaged records set aside under %s:", e.Count, QuarantinePrefix)
	for i, c := range e.Records {
		if i == 3 {
			b.WriteString(" ...")
			break
		}
		fmt.Fprintf(&b, " %q (%v)", c.Key, c.Cause)
	}
	return b.String()
}

// CorruptKeys lets a caller that knows only this method find the keys.
func (e *CorruptError) CorruptKeys() []string {
	keys := make([]string, len(e.Records))
	for i, c := range e.Records {
		keys[i] = c.Key
	}
	return keys
}

// classify gives an error of the operating system its name here.
func classify(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errors.Join(&DiskFullError{Dir: dir}, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: %s (%w); remount the disk or give the directory to this user", ErrReadOnly, dir, err)
	}
	return err
}
