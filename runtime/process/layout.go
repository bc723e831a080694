package process

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holon/runtime"
)

// Names in the state directory; see the package comment.
const (
	podFile     = "pod.json"
	startFile   = "start.json"
	stateFile   = "state.json"
	lockFile    = "lock"
	logFile     = "log"
	oldLogFile  = "log.1"
	shimFile    = "shim.err"
	failedFile  = "failed"
	messageFile = "message"
	newPrefix   = ".new-" // being made; removed at the next start
	oldPrefix   = ".old-" // being removed
)

func podsDir(dir string) string                  { return filepath.Join(dir, "pods") }
func podDir(dir string, id runtime.RunID) string { return filepath.Join(dir, "pods", string(id)) }
func volumeDir(pod, name string) string          { return filepath.Join(pod, "volumes", name) }
func containerDir(pod, name string) string       { return filepath.Join(pod, "containers", name) }
func workDir(pod, name string) string            { return filepath.Join(containerDir(pod, name), "dir") }
func attemptDir(pod, name string, n int) string {
	return filepath.Join(containerDir(pod, name), strconv.Itoa(n))
}

// Names become parts of paths and of control groups.
var (
	runIDRE = regexp.MustCompile(`^[a-z0-9]{1,32}$`)
	nameRE  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$`)
)

// podRecord is pod.json. Volumes hold no data: it is in the volume directories.
type podRecord struct {
	Version int // filesVersion; 0 is 1
	Spec    runtime.Spec
	IP      string
}

// phase is where an attempt is: starting -> running -> exited.
type phase string

const (
	starting phase = "starting"
	running  phase = "running"
	exited   phase = "exited"
)

// attemptState is state.json.
type attemptState struct {
	Version    int // filesVersion; 0 is 1
	Phase      phase
	Shim       processID
	Main       processID // the container's first process
	StartedAt  time.Time
	FinishedAt time.Time
	ExitCode   int
	OOMKilled  bool
	Message    string
}

// filesVersion is of pod.json, start.json and state.json. Within a version fields
// may be added: a daemon, and shims that it or an older one started, read each
// other's files and pass over what they do not know.
const filesVersion = 1

var errNewer = errors.New("it is of version")

// versioned is a file that says which version it is of.
type versioned interface{ version() *int }

func (p *podRecord) version() *int    { return &p.Version }
func (s *attemptState) version() *int { return &s.Version }
func (o *startOrder) version() *int   { return &o.Version }

// readJSON reads a file of at most max bytes.
func readJSON(path string, max int64, into versioned) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > max {
		return fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), max)
	}
	if err := decodeFile(f, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func decodeFile(r io.Reader, into versioned) error {
	if err := json.NewDecoder(r).Decode(into); err != nil {
		return err
	}
	if v := *into.version(); v > filesVersion {
		return fmt.Errorf("%w %d, this holon reads up to %d: install the holon that wrote it", errNewer, v, filesVersion)
	}
	return nil
}

// durability says what a file must survive. What only matters while the host
// is up (the pods die with it) need not be waited for.
type durability bool

const (
	volatile durability = false // a crash of any process
	durable  durability = true  // a power cut too
)

// writeJSON replaces a file whole or not at all.
func writeJSON(path string, value versioned, keep durability) error {
	*value.version() = filesVersion
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(path), newPrefix+rand.Text())
	if err := writeFile(temp, data, keep); err != nil {
		os.Remove(temp)
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		os.Remove(temp)
		return err
	}
	if keep == volatile {
		return nil
	}
	return syncDir(filepath.Dir(path))
}

func writeFile(path string, data []byte, keep durability) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && keep == durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeDir makes a directory vanish in one step, then removes it.
func removeDir(path string) error {
	grave := filepath.Join(filepath.Dir(path), oldPrefix+rand.Text())
	if err := os.Rename(path, grave); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return os.RemoveAll(grave)
}

// locked reports whether somebody holds the lock of an attempt.
func locked(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

// takeLock makes the lock of an attempt and holds it until the last copy of
// the returned file is closed, in this process or in a child.
func takeLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// attempts returns the attempt numbers in a container's directory, ascending.
func attempts(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// sweep removes what a crash left half-made or half-removed in a directory.
// What somebody else is making right now has its lock held and is left alone.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		stale := strings.HasPrefix(e.Name(), oldPrefix) || strings.HasPrefix(e.Name(), newPrefix)
		if stale && !locked(path) {
			err = errors.Join(err, runtime.UnmountIn(filepath.Dir(volumeDir(path, "x"))), os.RemoveAll(path))
		}
	}
	return err
}

// diskError turns an error of the state directory into one for the operator.
func diskError(op, dir string, err error) error {
	if err == nil {
		return nil
	}
	e := &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Kind, e.Next = runtime.Unavailable, "free some space on the file system of "+dir
	case errors.Is(err, syscall.EROFS):
		e.Kind, e.Next = runtime.Unavailable, "remount the file system of "+dir+" writable"
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Next = runtime.Unavailable, "let holon's user write to "+dir
	case errors.Is(err, syscall.EIO):
		e.Kind, e.Next = runtime.Unavailable, "check the disk under "+dir
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		e.Kind, e.Next = runtime.Unavailable, "raise the limit of open files (ulimit -n)"
	case errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EAGAIN):
		e.Kind, e.Next = runtime.OutOfMemory, "free memory or processes on this host"
	}
	return e
}
