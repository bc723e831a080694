package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"holon/runtime"
)

const killSignal = unix.SIGKILL

// start makes and runs attempt number n of a container that has none running.
// The pod's lock must be held.
func (r *Runtime) start(ctx context.Context, p *pod, c *container, spec runtime.Container, n int) error {
	op := fmt.Sprintf("start container %s/%s/%s", p.record.Spec.Namespace, p.record.Spec.Name, spec.Name)
	if err := ctx.Err(); err != nil {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
	}
	order, secrets, err := r.plan(p, spec, n)
	if runtime.KindOf(err) == runtime.BadConfig {
		return err
	}
	if err != nil {
		return &runtime.Error{Kind: runtime.BadSpec, Op: op, Err: err}
	}
	a := r.attemptOf(p, c, n)
	lock, err := r.makeAttempt(a, order)
	if exists(err) {
		// Another daemon was here, in life or in its death. What it made is
		// left alone, or removed if nothing of it ever ran.
		if err = r.adoptAttempt(a); err == nil {
			return diskError(op, r.cfg.Dir, r.follow(a, spec))
		}
		if errors.Is(err, errHalfMade) {
			if err = removeDir(a.dir); err == nil {
				lock, err = r.makeAttempt(a, order)
			}
		}
	}
	if err != nil {
		return diskError(op, r.cfg.Dir, err)
	}
	err = r.launch(a, lock, secrets)
	failed := filepath.Join(containerDir(p.dir(r), spec.Name), failedFile)
	if err != nil {
		var e *runtime.Error
		if !errors.As(err, &e) {
			err = diskError(op, r.cfg.Dir, err)
		} else {
			e.Op = op
		}
		r.record(func() { c.failed = err.Error() })
		// For the next daemon's status; the disk may be what has failed.
		os.WriteFile(failed, []byte(err.Error()), 0o600)
		return errors.Join(err, removeDir(a.dir), r.cgroups.forget(p.id, spec.Name, n))
	}
	os.Remove(failed)
	return diskError(op, r.cfg.Dir, r.follow(a, spec))
}

// follow makes an attempt the newest of its container, drops what is older
// than the one before, and watches for its end.
func (r *Runtime) follow(a *attempt, spec runtime.Container) error {
	p, c := a.pod, a.container
	if c.newest != nil {
		if err := r.cgroups.forget(p.id, spec.Name, c.newest.number); err != nil {
			r.cfg.Logger.Warn("a control group remains until the pod ends", "error", err)
		}
	}
	stale := c.previous
	r.record(func() {
		if c.newest != nil {
			c.previous = c.newest
		}
		c.newest, c.failed, c.spec = a, "", spec.WithoutSecrets()
	})
	if stale != nil {
		if err := removeDir(stale.dir); err != nil {
			r.cfg.Logger.Warn("an old log remains", "error", err)
		}
	}
	if a.state.Phase == exited {
		return nil // found like this
	}
	return r.watch.add(a)
}

// exists reports whether a rename was refused because its target is there.
func exists(err error) bool {
	return errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY)
}

// record changes what Pods shows.
func (r *Runtime) record(change func()) {
	r.mu.Lock()
	change()
	r.mu.Unlock()
	r.changed()
}

// plan resolves a container into what its shim runs, and the variables that no
// file may hold.
func (r *Runtime) plan(p *pod, spec runtime.Container, n int) (*startOrder, []string, error) {
	dir := workDir(p.dir(r), spec.Name)
	base := []runtime.Env{
		{Name: "PATH", Value: escape(pathOrDefault())},
		{Name: "HOME", Value: escape(dir)},
		{Name: "HOSTNAME", Value: escape(p.record.Spec.Hostname)},
		{Name: podDirEnv, Value: escape(dir)},
		{Name: "POD_IP", PodIP: true},
	}
	resolved := spec
	resolved.Env = append(base, spec.Env...)
	command, args, env := resolved.Resolve(p.record.IP)
	order := &startOrder{
		Argv: append(command, args...), WorkingDir: dir, PodDir: dir, PodIP: p.record.IP,
		Private: r.private, LogBytesMax: r.cfg.LogBytesMax,
	}
	var secrets []string
	order.Env, secrets = splitSecrets(spec, env)
	for _, variable := range secrets {
		name, _, _ := strings.Cut(variable, "=")
		order.SecretEnv = append(order.SecretEnv, name)
	}
	if len(order.Argv) == 0 {
		return nil, nil, errors.New("the process runtime ignores images: give a command")
	}
	if spec.WorkingDir != "" {
		order.WorkingDir = workingDir(dir, spec.WorkingDir)
	}
	var err error
	var notes []string
	if order.Mounts, notes, err = planMounts(p.dir(r), p.record.Spec, spec, r.private); err != nil {
		return nil, nil, err
	}
	order.Notes = append(order.Notes, notes...)
	message, mounts, note := planMessage(dir, &spec, r.private)
	order.Message, order.Mounts = message, append(order.Mounts, mounts...)
	if note != "" {
		order.Notes = append(order.Notes, note)
	}
	if order.Listens, order.Forwards, err = planPorts(spec, p.record.IP, r.hostAddress(&p.record.Spec), r.cfg.Subnet.IsValid()); err != nil {
		return nil, nil, err
	}
	if s := &p.record.Spec; len(s.Hosts) > 0 || s.DNS != nil {
		order.Notes = append(order.Notes, "hostAliases and dnsConfig have no effect: a process resolves names as its host does")
	}
	if spec.Stdin || spec.TTY {
		order.Notes = append(order.Notes, "the process runtime keeps neither standard input nor a terminal: attach shows output only")
	}
	if order.Identity, notes, err = identityOf(&spec, dir); err != nil {
		return nil, nil, err
	}
	order.Notes = append(order.Notes, notes...)
	order.Cgroups, notes = r.cgroups.attempt(p.id, spec, n)
	order.Notes = append(order.Notes, notes...)
	return order, secrets, nil
}

// escape keeps Resolve from expanding a value of ours.
func escape(s string) string { return strings.ReplaceAll(s, "$", "$$") }

func pathOrDefault() string {
	if path := os.Getenv("PATH"); path != "" {
		return path
	}
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

// workingDir is the host's directory if there is one, else a directory of
// that name in the container's own.
func workingDir(podDir, wanted string) string {
	if info, err := os.Stat(wanted); filepath.IsAbs(wanted) && err == nil && info.IsDir() {
		return wanted
	}
	return filepath.Join(podDir, filepath.Clean("/"+wanted))
}

// makeAttempt makes the attempt's directory appear in one step, locked and
// complete. An attempt that is there already is an error.
func (r *Runtime) makeAttempt(a *attempt, order *startOrder) (lock *os.File, err error) {
	parent := filepath.Dir(a.dir)
	if err := os.MkdirAll(order.WorkingDir, 0o755); err != nil {
		return nil, err
	}
	if err := order.Identity.own(order.PodDir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(parent, 0o711); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(parent, newPrefix+strconv.Itoa(a.number)+"-")
	if err != nil {
		return nil, err
	}
	if lock, err = takeLock(temp); err == nil {
		if err = writeJSON(filepath.Join(temp, startFile), order, volatile); err == nil {
			err = os.Rename(temp, a.dir)
		}
		if err == nil {
			err = syncDir(parent)
		}
		if err != nil {
			lock.Close()
		}
	}
	if err != nil {
		os.RemoveAll(temp)
		return nil, err
	}
	return lock, nil
}

// launch runs the shim and waits for its answer. It is not given up with a
// context: a shim that has begun must be known to us.
func (r *Runtime) launch(a *attempt, lock *os.File, secrets []string) error {
	defer lock.Close()
	answers, reply, err := os.Pipe()
	if err != nil {
		return err
	}
	defer answers.Close()
	words, err := os.OpenFile(filepath.Join(a.dir, shimFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		reply.Close()
		return err
	}
	defer words.Close()
	hidden, err := hiddenFile(secrets)
	if err != nil {
		reply.Close()
		return err
	}
	shim, err := r.spawnShim([]string{"run", a.dir}, words, lock, reply, hidden)
	reply.Close()
	hidden.Close()
	if err != nil {
		return &runtime.Error{Kind: runtime.Failed, Err: fmt.Errorf("run the shim %q: %w", r.cfg.Shim[0], err), Next: "check that this program still exists"}
	}
	answers.SetReadDeadline(time.Now().Add(startTimeout))
	var got answer
	if err := json.NewDecoder(io.LimitReader(answers, 2*stateFileBytesMax)).Decode(&got); err != nil {
		shim.signal(killSignal)
		r.killContainer(a)
		shim.awaitGone(killTimeout)
		reap(shim.PID)
		return &runtime.Error{Kind: runtime.Failed, Err: fmt.Errorf("the shim ended without an answer (%v): %s", err, lastWords(a.dir))}
	}
	if got.Error != "" {
		shim.awaitGone(killTimeout)
		reap(shim.PID)
		return &runtime.Error{Kind: got.Kind, Err: errors.New(got.Error), Next: nextStep(got.Kind)}
	}
	a.state, a.shim, a.main = got.State, got.State.Shim, got.State.Main
	return nil
}

func nextStep(kind runtime.Kind) string {
	switch kind {
	case runtime.BadSpec, runtime.BadCommand:
		return "correct the pod: a process runs from this host's own files, whatever its image"
	case runtime.PortTaken:
		return "free the port or choose another"
	}
	return ""
}

// spawnShim starts a shim in a session of its own, so that no signal meant
// for the daemon reaches it.
func (r *Runtime) spawnShim(args []string, stderr, lock, reply, hidden *os.File) (processID, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return processID{}, err
	}
	defer null.Close()
	p, err := os.StartProcess(r.cfg.Shim[0], append(append([]string{}, r.cfg.Shim...), args...), &os.ProcAttr{
		Dir:   "/",
		Env:   shimEnv(),
		Files: []*os.File{null, stderr, stderr, lock, reply, hidden},
		Sys:   &unix.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return processID{}, err
	}
	defer p.Release()
	return identify(p.Pid) // our child, not reaped yet
}

// shimEnv keeps a shim small: one thread of Go code, an eager collector.
func shimEnv() []string {
	return []string{"PATH=" + pathOrDefault(), "GOMAXPROCS=1", "GOGC=25", "GOMEMLIMIT=8MiB"}
}

// lastWords returns the end of what a shim wrote to its stderr.
func lastWords(dir string) string {
	data, _ := os.ReadFile(filepath.Join(dir, shimFile))
	return strings.TrimSpace(string(data[max(0, len(data)-shimNotesBytesMax):]))
}

// attemptEnded runs when the shim of an attempt is gone.
func (r *Runtime) attemptEnded(a *attempt) {
	said := saidIn(a.dir)
	final := &attempt{pod: a.pod, container: a.container, number: a.number, dir: a.dir, state: a.state, ended: a.ended}
	var onDisk attemptState
	if err := readJSON(filepath.Join(a.dir, stateFile), stateFileBytesMax, &onDisk); err == nil {
		final.state = onDisk
	}
	if final.state.Phase == exited {
		defer close(a.ended)
	} else if err := r.buryAttempt(final); err != nil {
		r.cfg.Logger.Error("a container's processes cannot be killed", "dir", a.dir, "error", err)
		final.state.Phase, final.state.ExitCode, final.state.FinishedAt = exited, 137, time.Now()
		final.state.Message = err.Error()
		defer close(a.ended)
	}
	r.record(func() { a.state, a.said = final.state, said })
}

// killContainer kills all processes of an attempt whose shim is gone.
func (r *Runtime) killContainer(a *attempt) error {
	if r.cgroups.track != "" {
		return killCgroup(filepath.Join(r.cgroups.track, string(a.pod.id), groupOf(a.container.spec.Name, a.number)))
	}
	return killMarked(workDir(a.pod.dir(r), a.container.spec.Name))
}
