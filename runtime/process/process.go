package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"holon/runtime"
)

// Runtime runs pods as host processes. See the package comment.
type Runtime struct {
	cfg     Config
	cgroups cgroups
	private bool   // containers get mount namespaces
	memory  string // directory for the files of Secrets; empty: they lie on disk
	notes   []string
	locks   podLocks
	watch   *watcher
	changes chan struct{}

	mu   sync.Mutex // guards what follows and the fields of every *pod; never held over IO
	pods map[runtime.RunID]*pod
}

// pod is one pod that exists, or is being made (ready is false).
type pod struct {
	id         runtime.RunID
	record     podRecord
	claims     []listenOrder // listeners that no other pod may have
	containers []*container
	ready      bool
}

// container is one container of a pod.
type container struct {
	spec     runtime.Container
	newest   *attempt // nil: never started
	previous *attempt // the one before, whose log is kept; nil: none
	failed   string   // why the last order could not start
}

// attempt is one attempt of a container that has a directory.
type attempt struct {
	pod       *pod
	container *container
	number    int
	dir       string
	shim      processID // these two never change once the attempt is known
	main      processID
	state     attemptState
	said      string        // what its program said of its end
	ended     chan struct{} // closed once state is final
}

func (p *pod) dir(r *Runtime) string { return podDir(r.cfg.Dir, p.id) }

func (p *pod) find(name string) *container {
	for _, c := range p.containers {
		if c.spec.Name == name {
			return c
		}
	}
	return nil
}

// New opens a state directory, adopts every pod in it and tidies up what a
// crash left half-made. Its errors are *runtime.Error values.
func New(ctx context.Context, cfg Config) (*Runtime, error) {
	const op = "open process runtime"
	if err := cfg.validate(); err != nil {
		return nil, &runtime.Error{Kind: runtime.BadSpec, Op: op, Err: err}
	}
	if err := os.MkdirAll(podsDir(cfg.Dir), 0o711); err != nil {
		return nil, diskError(op, cfg.Dir, err)
	}
	dir, err := filepath.EvalSymlinks(cfg.Dir) // one name, so that Kill computes the same groups
	if err != nil {
		return nil, diskError(op, cfg.Dir, err)
	}
	cfg.Dir = dir
	if err := tryWrite(podsDir(dir)); err != nil {
		return nil, diskError(op, dir, err)
	}
	r := &Runtime{
		cfg:     cfg,
		locks:   podLocks{held: map[runtime.RunID]*podLock{}},
		changes: make(chan struct{}, 1),
		pods:    map[runtime.RunID]*pod{},
	}
	if r.memory = runtime.MemoryDir(dir); r.memory == "" || cfg.withoutMemory {
		r.memory = ""
		r.notes = append(r.notes, "files of Secrets lie on disk while their pod is there: this host has no tmpfs that holon may write to")
	}
	if !cfg.withoutCgroups {
		r.cgroups = findCgroups(dir)
	}
	r.cgroups.prepare()
	r.notes = append(r.notes, r.cgroups.notes...)
	err = canPrivateMounts()
	if cfg.withoutNamespaces {
		err = unix.EPERM
	}
	if err != nil {
		r.notes = append(r.notes, fmt.Sprintf("volumes appear only under $%s, by symbolic links, and cannot be read-only: %v", podDirEnv, err))
	} else {
		r.private = true
	}
	if r.watch, err = newWatcher(r.attemptEnded); err != nil {
		return nil, &runtime.Error{Kind: runtime.Unavailable, Op: op, Err: err, Next: "holon needs Linux 5.3 or newer"}
	}
	if err := r.adopt(ctx); err != nil {
		r.Close()
		return nil, diskError(op, dir, err)
	}
	return r, nil
}

// tryWrite proves that a directory can be written, to fail early in words.
func tryWrite(dir string) error {
	path := filepath.Join(dir, newPrefix+"probe")
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := writeFile(path, []byte("holon"), durable)
	return errors.Join(err, ignoreMissing(os.Remove(path)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Close ends the daemon's part. Pods go on under their shims.
func (r *Runtime) Close() error { return r.watch.close() }

// Changes implements runtime.Runtime.
func (r *Runtime) Changes() <-chan struct{} { return r.changes }

func (r *Runtime) changed() {
	select {
	case r.changes <- struct{}{}:
	default: // one is waiting already
	}
}

// Info implements runtime.Runtime. It fails while the state directory cannot
// be written.
func (r *Runtime) Info(context.Context) (runtime.Info, error) {
	const op = "use process runtime"
	var fsInfo unix.Statfs_t
	err := unix.Access(podsDir(r.cfg.Dir), unix.W_OK)
	if err == nil {
		err = unix.Statfs(r.cfg.Dir, &fsInfo)
	}
	if err == nil && fsInfo.Bavail == 0 && fsInfo.Blocks > 0 {
		err = unix.ENOSPC
	}
	if err != nil {
		return runtime.Info{}, diskError(op, r.cfg.Dir, fmt.Errorf("%s: %w", r.cfg.Dir, err))
	}
	return runtime.Info{
		Name:          "process",
		Version:       version(),
		HostPortsOnly: !r.cfg.Subnet.IsValid(),
		Notes:         r.notes,
	}, nil
}

// version is that of the program: shims and daemon are the same one.
func version() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return goruntime.Version()
}

// Pods implements runtime.Runtime, from memory.
func (r *Runtime) Pods(context.Context) ([]runtime.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]runtime.Status, 0, len(r.pods))
	for _, p := range r.pods {
		if p.ready {
			out = append(out, p.status())
		}
	}
	slices.SortFunc(out, func(a, b runtime.Status) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out, nil
}

func (p *pod) status() runtime.Status {
	spec := &p.record.Spec
	s := runtime.Status{
		ID: p.id, Namespace: spec.Namespace, Name: spec.Name, UID: spec.UID, Slot: spec.Slot, CreatedAt: spec.CreatedAt, IP: p.record.IP, Requests: spec.Requests, Claims: runtime.ClaimsOf(spec.Volumes),
		Containers: make([]runtime.ContainerStatus, 0, len(p.containers)),
	}
	for _, c := range p.containers {
		s.Containers = append(s.Containers, c.status())
	}
	return s
}

func (c *container) status() runtime.ContainerStatus {
	s := runtime.ContainerStatus{Name: c.spec.Name, Image: c.spec.Image, State: runtime.Created, Message: c.failed}
	if c.newest != nil {
		c.newest.tell(&s)
	}
	if c.previous != nil {
		var last runtime.ContainerStatus
		c.previous.tell(&last)
		s.Last = last.Ended()
	}
	return s
}

// tell writes what is known of an attempt into a status.
func (a *attempt) tell(s *runtime.ContainerStatus) {
	state := &a.state
	s.Attempt = a.number
	s.StartedAt, s.FinishedAt = state.StartedAt, state.FinishedAt
	s.ExitCode, s.OOMKilled = state.ExitCode, state.OOMKilled
	if state.Main.PID != 0 {
		s.ID = fmt.Sprintf("pid:%d", state.Main.PID)
	}
	s.Message = cmp.Or(s.Message, a.said, state.Message)
	switch state.Phase {
	case running:
		s.State = runtime.Running
	case exited:
		s.State = runtime.Exited
	}
}

// freeAddress returns the lowest address of the subnet that no pod has; the
// network's own, the node's (.1) and the broadcast address are never given.
// r.mu must be held.
func (r *Runtime) freeAddress() (string, error) {
	if !r.cfg.Subnet.IsValid() {
		return r.cfg.HostIP, nil
	}
	taken := map[string]bool{r.cfg.HostIP: true}
	for _, p := range r.pods {
		taken[p.record.IP] = true
	}
	subnet := r.cfg.Subnet.Masked()
	for a := subnet.Addr().Next().Next(); subnet.Contains(a.Next()); a = a.Next() {
		if !taken[a.String()] {
			return a.String(), nil
		}
	}
	return "", fmt.Errorf("no free address in %v: %d pods have one each", subnet, len(r.pods))
}

// hostAddress is where the ports of a pod are published.
func (r *Runtime) hostAddress(spec *runtime.Spec) string {
	if _, err := netip.ParseAddr(spec.HostIP); err == nil {
		return spec.HostIP
	}
	return r.cfg.HostIP
}
