package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"holon/runtime"
)

// adopt reads the whole state directory into r.pods. A pod that cannot be
// read is left where it is, with a note: one broken file must not keep the
// node from its other pods.
func (r *Runtime) adopt(ctx context.Context) error {
	dir := podsDir(r.cfg.Dir)
	if err := sweep(dir); err != nil {
		r.cfg.Logger.Warn("leftovers of a crash remain", "dir", dir, "error", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		id := runtime.RunID(e.Name())
		if !runIDRE.MatchString(e.Name()) {
			continue
		}
		err := sweepPod(podDir(r.cfg.Dir, id))
		var p *pod
		if err == nil {
			p, err = r.adoptPod(id)
		}
		if err != nil {
			r.notes = append(r.notes, fmt.Sprintf("pod %s in %s cannot be read and is left alone: %v", id, dir, err))
			r.cfg.Logger.Error("pod cannot be read", "run", id, "error", err)
			continue
		}
		r.mu.Lock()
		r.pods[id] = p
		r.mu.Unlock()
	}
	r.sweepMemory()
	return nil
}

// sweepMemory removes the files of Secrets of pods that are gone.
func (r *Runtime) sweepMemory() {
	if r.memory == "" {
		return
	}
	entries, _ := os.ReadDir(r.memory) // none: nothing is left over
	for _, e := range entries {
		if _, err := os.Lstat(podDir(r.cfg.Dir, runtime.RunID(e.Name()))); errors.Is(err, fs.ErrNotExist) {
			if err := runtime.ForgetMemory(r.memory, e.Name()); err != nil {
				r.cfg.Logger.Warn("files of a Secret remain in memory", "run", e.Name(), "error", err)
			}
		}
	}
}

func sweepPod(dir string) error {
	containers, err := os.ReadDir(filepath.Join(dir, "containers"))
	if err != nil {
		return ignoreMissing(err)
	}
	for _, c := range containers {
		err = errors.Join(err, sweep(containerDir(dir, c.Name())))
	}
	return err
}

func (r *Runtime) adoptPod(id runtime.RunID) (*pod, error) {
	p := &pod{id: id, ready: true}
	if err := readJSON(filepath.Join(p.dir(r), podFile), startFileBytesMax, &p.record); err != nil {
		return nil, err
	}
	if p.record.Spec.ID != id {
		return nil, fmt.Errorf("it says it is pod %q", p.record.Spec.ID)
	}
	if err := p.build(r.hostAddress(&p.record.Spec), r.cfg.Subnet.IsValid()); err != nil {
		return nil, err
	}
	for _, c := range p.containers {
		if err := r.adoptContainer(p, c); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// build derives the rest of a pod from its record.
func (p *pod) build(hostIP string, own bool) error {
	for _, spec := range p.record.Spec.Containers {
		p.containers = append(p.containers, &container{spec: spec})
		listens, forwards, err := planPorts(spec, p.record.IP, hostIP, own)
		if err != nil {
			return err
		}
		p.claims = append(p.claims, listens...)
		for _, f := range forwards {
			p.claims = append(p.claims, f.Listen)
		}
	}
	return nil
}

func (r *Runtime) adoptContainer(p *pod, c *container) error {
	dir := containerDir(p.dir(r), c.spec.Name)
	if reason, err := os.ReadFile(filepath.Join(dir, failedFile)); err == nil {
		c.failed = string(reason)
	}
	numbers, err := attempts(dir)
	if err != nil {
		return err
	}
	for len(numbers) > 0 && c.newest == nil {
		last := numbers[len(numbers)-1]
		numbers = numbers[:len(numbers)-1]
		a := r.attemptOf(p, c, last)
		if err := r.adoptAttempt(a); errors.Is(err, errHalfMade) {
			if err := removeDir(a.dir); err != nil {
				return err
			}
			continue
		} else if err != nil {
			return err
		}
		c.newest = a
	}
	if len(numbers) > 0 {
		c.previous = r.attemptOf(p, c, numbers[len(numbers)-1])
		c.previous.said = saidIn(c.previous.dir)
		// Its end is for display only: without it the log is there all the same.
		if err := readJSON(filepath.Join(c.previous.dir, stateFile), stateFileBytesMax, &c.previous.state); err != nil {
			r.cfg.Logger.Warn("how a container ended before cannot be read", "dir", c.previous.dir, "error", err)
		}
	}
	if c.newest != nil && c.newest.state.Phase != exited {
		return r.watch.add(c.newest)
	}
	return nil
}

// attemptOf is attempt number n as long as nothing is known of it.
func (r *Runtime) attemptOf(p *pod, c *container, n int) *attempt {
	return &attempt{pod: p, container: c, number: n, dir: attemptDir(p.dir(r), c.spec.Name, n), ended: make(chan struct{})}
}

// errHalfMade: the daemon crashed before anything of the attempt ran.
var errHalfMade = errors.New("half-made attempt")

// adoptAttempt reads an attempt's state by the invariants of the package
// comment. A shim that has just been born is given time to say who it is.
func (r *Runtime) adoptAttempt(a *attempt) error {
	deadline := time.Now().Add(startTimeout)
	for {
		held := locked(a.dir) // before reading: what a lock's end leaves is final
		err := readJSON(filepath.Join(a.dir, stateFile), stateFileBytesMax, &a.state)
		switch {
		case errors.Is(err, errNewer):
			return err
		case err == nil && a.state.Phase == exited:
			a.said = saidIn(a.dir)
			close(a.ended)
			return nil
		case err == nil && held && a.state.Phase == running:
			a.shim, a.main = a.state.Shim, a.state.Main
			return nil
		case errors.Is(err, fs.ErrNotExist) && !held:
			return errHalfMade
		case !held:
			return r.buryAttempt(a)
		case time.Now().After(deadline):
			return fmt.Errorf("%s: its shim does not start", a.dir)
		}
		time.Sleep(5 * time.Millisecond) // only after a crash in mid-start
	}
}

// buryAttempt writes the end of an attempt whose shim died without a word,
// after making sure that nothing of it runs on.
func (r *Runtime) buryAttempt(a *attempt) error {
	a.state.Main.signal(killSignal)
	if err := r.killContainer(a); err != nil {
		return err
	}
	a.state.Phase, a.state.ExitCode, a.state.FinishedAt = exited, 137, time.Now()
	a.state.Message = "killed together with its shim, or by a power cut"
	if err := writeJSON(filepath.Join(a.dir, stateFile), &a.state, durable); err != nil {
		r.cfg.Logger.Warn("the end of a container is not on disk", "dir", a.dir, "error", err)
	}
	close(a.ended)
	return nil
}
