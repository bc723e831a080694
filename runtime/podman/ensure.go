//go:build remote

package podman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/pods"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"github.com/containers/podman/v5/pkg/specgen"
	"github.com/opencontainers/runtime-spec/specs-go"
	"holon/runtime"
)

// EnsurePod implements runtime.Runtime.
func (r *Runtime) EnsurePod(ctx context.Context, spec runtime.Spec) error {
	if err := checkSpec(spec); err != nil {
		return badSpec("make pod "+spec.Name, err)
	}
	v, unlock, err := r.hold(ctx, spec.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if v.complete(spec) {
		return nil
	}
	defer r.hint()
	if err := r.ensureImages(ctx, spec, v); err != nil {
		return err
	}
	if v == nil {
		if v, err = r.createPod(ctx, spec); err != nil {
			return err
		}
	}
	ip, err := r.startSandbox(ctx, spec, v)
	if err != nil {
		return err
	}
	// One container that cannot start does not hold up the others.
	var failed []error
	for i, c := range spec.Containers {
		if c.Waits {
			continue
		}
		a := v.newest(c.Name)
		if a == nil {
			err = r.runAttempt(ctx, spec, i, 0, v.pod, ip)
		} else if a.state == runtime.Created {
			err = r.startMade(ctx, spec, c, a)
		} else {
			continue
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 1 {
		for _, err := range failed[1:] {
			r.cfg.Logger.Warn("container did not start", "pod", spec.Name, "err", err)
		}
	}
	return errors.Join(failed[:min(1, len(failed))]...)
}

// complete reports whether every container of spec that does not wait has been
// started once.
func (v *podView) complete(spec runtime.Spec) bool {
	return v != nil && !slices.ContainsFunc(spec.Containers, func(c runtime.Container) bool {
		a := v.newest(c.Name)
		return !c.Waits && (a == nil || a.state == runtime.Created)
	})
}

// createPod makes the Podman pod with its infra container. It is called when
// there is no container of the run, so a pod of that name is either the half
// of ours that a crash left, or somebody else's.
func (r *Runtime) createPod(ctx context.Context, spec runtime.Spec) (*podView, error) {
	op := "create pod " + podName(spec.ID)
	if err := r.cfg.removeVolumes(spec.ID); err != nil {
		return nil, failed(op, err)
	}
	// Looked up first: a create that fails for its name leaks a cgroup (4.3).
	there, own, err := r.removeOwnPod(ctx, spec.ID)
	if err != nil {
		return nil, err
	}
	if there && !own {
		return nil, nameTaken(op, "pod", podName(spec.ID))
	}
	err = r.change(ctx, op, func(ctx context.Context) error {
		_, err := pods.CreatePodFromSpec(ctx, &types.PodSpec{PodSpecGen: r.cfg.podSpec(spec)})
		return err
	})
	if runtime.KindOf(err) == runtime.NameTaken {
		return nil, nameTaken(op, "pod", podName(spec.ID))
	}
	if err != nil {
		return nil, err
	}
	v, err := r.view(ctx, spec.ID)
	if err == nil && v == nil {
		err = failed(op, errors.New("Podman made the pod without an infra container"))
	}
	return v, err
}

// startSandbox makes the pod's network run and returns its address.
func (r *Runtime) startSandbox(ctx context.Context, spec runtime.Spec, v *podView) (string, error) {
	if v.infra == nil {
		return "", failed("start pod "+podName(v.run), errors.New("its infra container is gone; stop the pod and run it anew"))
	}
	if !v.alive() {
		op := "start the network of pod " + podName(v.run)
		err := r.change(ctx, op, func(ctx context.Context) error {
			return containers.Start(ctx, v.infra.ID, nil)
		})
		if runtime.KindOf(err) == runtime.PortTaken {
			err = namePorts(err, r.cfg, spec)
		}
		if err != nil {
			return "", err
		}
		again, err := r.view(ctx, v.run)
		if err != nil {
			return "", err
		}
		if again == nil || again.infra == nil {
			return "", failed(op, errors.New("the pod was removed meanwhile"))
		}
		v.infra = again.infra
	}
	return r.podIP(ctx, v)
}

// namePorts adds the ports that a pod publishes, which Podman's words leave
// out in some versions.
func namePorts(err error, cfg Config, spec runtime.Spec) error {
	var e *runtime.Error
	if !errors.As(err, &e) {
		return err
	}
	var ports []string
	for _, p := range cfg.portMappings(spec) {
		ports = append(ports, fmt.Sprintf("%s:%d/%s", p.HostIP, p.HostPort, p.Protocol))
	}
	named := *e
	named.Op += " with " + strings.Join(ports, ", ")
	return &named
}

// runAttempt creates and starts one attempt of a container.
func (r *Runtime) runAttempt(ctx context.Context, spec runtime.Spec, index, number int, pod, ip string) error {
	c := spec.Containers[index]
	name := containerName(spec.ID, c.Name, number)
	op := "create container " + name
	if err := r.cfg.writeVolumes(spec); err != nil {
		return typed(op, err)
	}
	s, err := r.cfg.containerSpec(spec, index, number, pod, ip)
	if err != nil {
		return badSpec(op, err)
	}
	if err := r.secure(ctx, s, c); err != nil {
		return err
	}
	if err := r.showMessage(ctx, s, spec.ID, c, number); err != nil {
		return typed(op, err)
	}
	var made types.ContainerCreateResponse
	err = r.change(ctx, op, func(ctx context.Context) (err error) {
		made, err = containers.CreateWithSpec(ctx, s, nil)
		return err
	})
	if runtime.KindOf(err) == runtime.NameTaken {
		return nameTaken(op, "container", name)
	}
	if err != nil {
		return err
	}
	return r.startAttempt(ctx, spec, c, made.ID)
}

// showMessage gives an attempt the file for its message. A Podman on another host cannot
// show a file of this one, and there is none.
func (r *Runtime) showMessage(ctx context.Context, s *specgen.SpecGenerator, run runtime.RunID, c runtime.Container, number int) error {
	path := c.MessageFile()
	conn, err := r.link.open(ctx)
	if err != nil || path == "" || !isLocal(conn) {
		return err
	}
	if err := r.cfg.newMessage(run, c.Name, number); err != nil {
		return err
	}
	s.Mounts = append(s.Mounts, specs.Mount{
		Type: "bind", Source: r.cfg.messageFile(run, c.Name, number), Destination: path, Options: []string{"bind", "rprivate", "rw"},
	})
	return nil
}

// startMade starts a container that was made before, maybe before a reboot, which
// takes the files of Secrets, or a power cut, which takes others.
func (r *Runtime) startMade(ctx context.Context, spec runtime.Spec, c runtime.Container, a *attempt) error {
	if err := r.cfg.writeVolumes(spec); err != nil {
		return typed("write the volumes of pod "+spec.Name, err)
	}
	if err := r.cfg.newMessage(spec.ID, c.Name, a.number); err != nil {
		return failed("make the message's file of pod "+spec.Name, err)
	}
	return r.startAttempt(ctx, spec, c, a.ID)
}

func (r *Runtime) startAttempt(ctx context.Context, spec runtime.Spec, c runtime.Container, id string) error {
	op := fmt.Sprintf("start container %s/%s", spec.Name, c.Name)
	if len(c.Command) > 0 {
		op += fmt.Sprintf(" (%s)", c.Command[0])
	}
	err := r.change(ctx, op, func(ctx context.Context) error { return containers.Start(ctx, id, nil) })
	r.seen.setStartError(id, err)
	return err
}

// StartContainer implements runtime.Runtime.
func (r *Runtime) StartContainer(ctx context.Context, spec runtime.Spec, container string, number int) error {
	op := fmt.Sprintf("start attempt %d of %s in pod %s", number, container, spec.Name)
	if err := checkSpec(spec); err != nil {
		return badSpec(op, err)
	}
	index := slices.IndexFunc(spec.Containers, func(c runtime.Container) bool { return c.Name == container })
	if index < 0 {
		return notFound(op, "the pod has no such container")
	}
	v, unlock, err := r.hold(ctx, spec.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if v == nil || v.newest(container) == nil {
		return notFound(op, "it is not there")
	}
	last := v.newest(container)
	if last.number > number || last.number == number && last.state != runtime.Created {
		return nil
	}
	defer r.hint()
	if err := r.ensureImage(ctx, spec.Containers[index]); err != nil {
		return err
	}
	if last.number == number {
		if _, err := r.startSandbox(ctx, spec, v); err != nil {
			return err
		}
		return r.startMade(ctx, spec, spec.Containers[index], last)
	}
	if err := r.endFormer(ctx, op, v, last); err != nil {
		return err
	}
	ip, err := r.startSandbox(ctx, spec, v)
	if err != nil {
		return err
	}
	if err := r.removeOlder(ctx, v.attempts[container], number-1); err != nil {
		return err
	}
	return r.runAttempt(ctx, spec, index, number, v.pod, ip)
}

// UpdateFiles implements runtime.Runtime.
func (r *Runtime) UpdateFiles(ctx context.Context, spec runtime.Spec) error {
	op := "write the files of pod " + spec.Name
	if err := checkVolumes(spec); err != nil {
		return badSpec(op, err)
	}
	v, unlock, err := r.hold(ctx, spec.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if v == nil {
		return notFound(op, "it is not there")
	}
	if err := r.cfg.writeVolumes(spec); err != nil {
		return typed(op, err)
	}
	for _, v := range spec.Volumes {
		if v.Files == nil {
			continue
		}
		if err := runtime.UpdateFiles(r.cfg.volumeDir(spec.ID, v.Name), v.Files, spec.FSGroup); err != nil {
			return failed(op, fmt.Errorf("volume %q: %w", v.Name, err))
		}
	}
	return nil
}

// endFormer makes sure that the attempt before does not run any more. One that
// does is the caller's error, except in a sandbox that died: Pods reports it
// as exited, and here it is ended.
func (r *Runtime) endFormer(ctx context.Context, op string, v *podView, last *attempt) error {
	if last.state != runtime.Running {
		return nil
	}
	if v.alive() {
		return failed(op, fmt.Errorf("attempt %d still runs", last.number))
	}
	return r.change(ctx, op, func(ctx context.Context) error {
		return containers.Stop(ctx, last.ID, &containers.StopOptions{Timeout: ptr(uint(0))})
	})
}

// removeOlder removes the attempts before number keep.
func (r *Runtime) removeOlder(ctx context.Context, as []attempt, keep int) error {
	for _, a := range as {
		if a.number < keep {
			if err := r.removeContainer(ctx, a.ID); err != nil {
				return err
			}
			if err := os.Remove(r.cfg.messageFile(a.run(), a.Labels[labelContainer], a.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return failed("remove what attempt "+first(a.Names)+" said", err)
			}
		}
	}
	return nil
}

func badSpec(op string, err error) error {
	return &runtime.Error{Kind: runtime.BadSpec, Op: op, Err: err, Next: "correct the pod's spec"}
}

func failed(op string, err error) error {
	return &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
}

// typed is failed, unless err says more already.
func typed(op string, err error) error {
	if e, ok := errors.AsType[*runtime.Error](err); ok {
		return e
	}
	return failed(op, err)
}

func notFound(op, why string) error {
	return &runtime.Error{Kind: runtime.NotFound, Op: op, Err: errors.New(why)}
}

func nameTaken(op, what, name string) error {
	return &runtime.Error{
		Kind: runtime.NameTaken, Op: op,
		Err:  fmt.Errorf("a %s that this node did not make has the name %s", what, name),
		Next: fmt.Sprintf("rename or remove it (`podman %s rm`); holon never removes what it did not make", what),
	}
}
