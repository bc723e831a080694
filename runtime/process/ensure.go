package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"holon/runtime"
)

// EnsurePod implements runtime.Runtime.
func (r *Runtime) EnsurePod(ctx context.Context, spec runtime.Spec) error {
	op := "ensure pod " + spec.Namespace + "/" + spec.Name
	if err := r.checkSpec(spec); err != nil {
		return &runtime.Error{Kind: runtime.BadSpec, Op: op, Err: err}
	}
	if err := spec.CheckHostPaths(); err != nil {
		return err
	}
	unlock, err := r.locks.lock(ctx, spec.ID)
	if err != nil {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
	}
	defer unlock()
	p := r.lookup(spec.ID)
	fresh := p == nil
	if fresh {
		if p, err = r.create(op, spec); err != nil {
			return err
		}
	}
	if !fresh {
		if err := r.refill(p, spec); err != nil {
			return diskError(op, r.cfg.Dir, err)
		}
	}
	for _, c := range p.containers {
		wanted := containerOf(spec, c.spec)
		if c.newest != nil || wanted.Waits {
			continue
		}
		if err := r.start(ctx, p, c, wanted, 0); err != nil {
			if fresh && runtime.KindOf(err) == runtime.PortTaken {
				// Another program was quicker than our look: leave nothing running.
				return errors.Join(err, r.end(ctx, p, 0))
			}
			return err
		}
	}
	return nil
}

// StartContainer implements runtime.Runtime.
func (r *Runtime) StartContainer(ctx context.Context, spec runtime.Spec, name string, attempt int) error {
	op := fmt.Sprintf("start container %s/%s/%s", spec.Namespace, spec.Name, name)
	unlock, err := r.locks.lock(ctx, spec.ID)
	if err != nil {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
	}
	defer unlock()
	p, c, err := r.find(op, spec.ID, name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	newest := -1
	over := false
	if c.newest != nil {
		newest, over = c.newest.number, c.newest.state.Phase == exited
	}
	r.mu.Unlock()
	switch {
	case newest >= attempt:
		return nil
	case newest < 0:
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: errors.New("it has never been started"), Next: "ensure the pod first"}
	case !over:
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: fmt.Errorf("attempt %d has not exited", newest)}
	}
	if err := r.refill(p, spec); err != nil {
		return diskError(op, r.cfg.Dir, err)
	}
	return r.start(ctx, p, c, containerOf(spec, c.spec), attempt)
}

// containerOf returns what spec says of a container, else what is known.
func containerOf(spec runtime.Spec, known runtime.Container) runtime.Container {
	for _, c := range spec.Containers {
		if c.Name == known.Name {
			return c
		}
	}
	return known
}

func (r *Runtime) lookup(id runtime.RunID) *pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pods[id]
}

// find returns a container of a pod, or NotFound.
func (r *Runtime) find(op string, id runtime.RunID, name string) (*pod, *container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pods[id]
	if p == nil || !p.ready {
		return nil, nil, &runtime.Error{Kind: runtime.NotFound, Op: op, Err: fmt.Errorf("no pod %q on this node", id)}
	}
	c := p.find(name)
	if c == nil {
		return nil, nil, &runtime.Error{Kind: runtime.NotFound, Op: op, Err: fmt.Errorf("the pod has no container %q", name)}
	}
	return p, c, nil
}

// checkSpec refuses whole what can never run here.
func (r *Runtime) checkSpec(spec runtime.Spec) error {
	if !runIDRE.MatchString(string(spec.ID)) {
		return fmt.Errorf("RunID %q is not 1 to 32 characters of [a-z0-9]", spec.ID)
	}
	if len(spec.Containers) == 0 {
		return errors.New("the pod has no containers")
	}
	if err := checkVolumes(spec.Volumes); err != nil {
		return err
	}
	seen := map[string]bool{}
	var listens []listenOrder
	for _, c := range spec.Containers {
		if !nameRE.MatchString(c.Name) || seen[c.Name] {
			return fmt.Errorf("container name %q is not valid, or there twice", c.Name)
		}
		seen[c.Name] = true
		if len(c.Command)+len(c.Args) == 0 {
			return fmt.Errorf("container %s: the process runtime ignores images: give a command", c.Name)
		}
		if _, _, err := planMounts("/", spec, c, true); err != nil {
			return err
		}
		// Any address of a pod does for the check.
		own, forwards, err := planPorts(c, "0.0.0.0", r.hostAddress(&spec), r.cfg.Subnet.IsValid())
		if err != nil {
			return err
		}
		for _, f := range forwards {
			if err := addListen(&listens, f.Listen); err != nil {
				return err
			}
		}
		for _, l := range own {
			l.IP = "192.0.2.1" // the pod's own, which conflicts with itself only
			if err := addListen(&listens, l); err != nil {
				return err
			}
		}
	}
	return nil
}

func addListen(all *[]listenOrder, l listenOrder) error {
	for _, m := range *all {
		if l.conflicts(m) {
			return fmt.Errorf("port %d/%s is declared twice in the pod", l.Port, l.Protocol)
		}
	}
	*all = append(*all, l)
	return nil
}

// create makes a pod without running anything: address, claims, files.
func (r *Runtime) create(op string, spec runtime.Spec) (*pod, error) {
	p, err := r.admit(op, spec)
	if err != nil {
		return nil, err
	}
	for _, l := range p.claims {
		if err = l.tryListen(); err != nil {
			break
		}
	}
	if err == nil {
		if err = r.writePod(p, spec.Volumes); exists(err) {
			var theirs *pod // made by another daemon since we looked
			if theirs, err = r.adoptPod(p.id); err == nil {
				p = theirs
			}
		}
		err = diskError(op, r.cfg.Dir, err)
	} else {
		var e *runtime.Error
		if errors.As(err, &e) {
			e.Op, e.Next = op, nextStep(e.Kind)
		}
	}
	r.mu.Lock()
	if err != nil {
		delete(r.pods, p.id)
	} else {
		p.ready = true
		r.pods[p.id] = p
	}
	r.mu.Unlock()
	r.changed()
	return p, err
}

// admit reserves an address and ports for a pod against all others.
func (r *Runtime) admit(op string, spec runtime.Spec) (*pod, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ip, err := r.freeAddress()
	if err != nil {
		return nil, &runtime.Error{Kind: runtime.PortTaken, Op: op, Err: err}
	}
	p := &pod{id: spec.ID, record: podRecord{Spec: withoutData(spec), IP: ip}}
	if err := p.build(r.hostAddress(&spec), r.cfg.Subnet.IsValid()); err != nil {
		return nil, &runtime.Error{Kind: runtime.BadSpec, Op: op, Err: err}
	}
	for _, other := range r.pods {
		for _, theirs := range other.claims {
			for _, ours := range p.claims {
				if ours.conflicts(theirs) {
					name := other.record.Spec.Namespace + "/" + other.record.Spec.Name
					return nil, &runtime.Error{Kind: runtime.PortTaken, Op: op, Next: nextStep(runtime.PortTaken),
						Err: fmt.Errorf("port %d (%v) belongs to pod %s", ours.Port, ours, name)}
				}
			}
		}
	}
	r.pods[p.id] = p
	return p, nil
}

// withoutData drops the contents of files, which are written as files, and the
// values of Secrets, which are written nowhere.
func withoutData(spec runtime.Spec) runtime.Spec {
	volumes := make([]runtime.Volume, 0, len(spec.Volumes))
	for _, v := range spec.Volumes {
		volumes = append(volumes, runtime.Volume{Name: v.Name, HostPath: v.HostPath, Memory: v.Memory, Limit: v.Limit, Claim: v.Claim})
	}
	spec.Volumes = volumes
	containers := make([]runtime.Container, len(spec.Containers))
	for i, c := range spec.Containers {
		containers[i] = c.WithoutSecrets()
	}
	spec.Containers = containers
	return spec
}

// writePod makes the pod's directory appear in one step, complete.
func (r *Runtime) writePod(p *pod, volumes []runtime.Volume) error {
	parent := podsDir(r.cfg.Dir)
	temp, err := os.MkdirTemp(parent, newPrefix)
	if err != nil {
		return err
	}
	err = func() error {
		if err := os.Chmod(temp, 0o711); err != nil {
			return err
		}
		if err := r.writeVolumes(temp, p.id, volumes, p.record.Spec.FSGroup); err != nil {
			return err
		}
		if err := writeJSON(filepath.Join(temp, podFile), &p.record, durable); err != nil {
			return err
		}
		if err := os.Rename(temp, p.dir(r)); err != nil {
			return err
		}
		return syncDir(parent)
	}()
	if err != nil {
		os.RemoveAll(temp)
	}
	return err
}
