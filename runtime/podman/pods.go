//go:build remote

package podman

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"holon/runtime"
)

// exitUnknown is reported where the exit status died with its keeper; it is
// what a shell says of SIGKILL.
const exitUnknown = 137

// Pods implements runtime.Runtime: one listing, and an inspection of only
// those containers that changed since the last call.
func (r *Runtime) Pods(ctx context.Context) ([]runtime.Status, error) {
	views, err := r.views(ctx, "")
	if err != nil {
		return nil, err
	}
	r.seen.keep(views)
	out := make([]runtime.Status, 0, len(views))
	for _, v := range views {
		s, err := r.status(ctx, v)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b runtime.Status) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func (r *Runtime) status(ctx context.Context, v *podView) (runtime.Status, error) {
	s := runtime.Status{
		ID:        v.run,
		Namespace: v.labels[labelNamespace],
		Name:      v.labels[labelPod],
		UID:       v.labels[labelUID],
		Slot:      v.labels[labelSlot],
		CreatedAt: v.labels[labelCreated],
		Requests:  runtime.Requests{CPU: number(v.labels[labelCPU]), Memory: number(v.labels[labelMemory])},
		Claims:    claimsIn(v.labels[labelClaims]),
	}
	var err error
	if v.alive() {
		if s.IP, err = r.podIP(ctx, v); err != nil {
			return s, err
		}
	}
	for _, name := range v.names() {
		c, err := r.containerStatus(ctx, name, v)
		if err != nil {
			return s, err
		}
		s.Containers = append(s.Containers, c)
	}
	return s, nil
}

func (r *Runtime) containerStatus(ctx context.Context, name string, v *podView) (runtime.ContainerStatus, error) {
	c, err := r.attemptStatus(ctx, v.newest(name), v.alive())
	if before := v.before(name); before != nil && err == nil {
		var last runtime.ContainerStatus
		last, err = r.attemptStatus(ctx, before, v.alive())
		c.Last = last.Ended()
	}
	return c, err
}

// attemptStatus is the status of one attempt, without what was before it.
func (r *Runtime) attemptStatus(ctx context.Context, a *attempt, alive bool) (runtime.ContainerStatus, error) {
	c := runtime.ContainerStatus{
		Name:       a.Labels[labelContainer],
		ID:         a.ID,
		Image:      a.Image,
		State:      a.state,
		Attempt:    a.number,
		StartedAt:  unixTime(a.StartedAt),
		FinishedAt: unixTime(a.ExitedAt),
		Message:    r.seen.startError(a.ID),
	}
	switch {
	case a.state == runtime.Running && !alive:
		c.State, c.ExitCode = runtime.Exited, exitUnknown
		c.Message = "the pod's sandbox died, and with it the network of this container"
	case a.state == runtime.Running:
		c.FinishedAt = unixTime(0)
	case a.state == runtime.Exited:
		d, err := r.details(ctx, a)
		if err != nil {
			return c, err
		}
		c.ExitCode, c.OOMKilled = int(a.ExitCode), d.oom
		c.StartedAt, c.FinishedAt = lifespan(d.started, d.finished)
		if a.ExitCode < 0 {
			c.ExitCode, c.Message = exitUnknown, "killed together with the process that kept its exit status"
		}
		if d.oom {
			c.Message = "killed for using more memory than its limit"
		}
		c.Message = cmp.Or(d.message, c.Message)
	case a.state == runtime.Created:
		c.StartedAt, c.FinishedAt = unixTime(0), unixTime(0)
	}
	return c, nil
}

// lifespan puts a container's two times in order: Podman notes the start once
// the OCI runtime has answered, and a short program may have ended before that.
func lifespan(started, finished time.Time) (time.Time, time.Time) {
	if !finished.IsZero() && finished.Before(started) {
		started = finished
	}
	return started, finished
}

// podIP returns the address of a pod whose sandbox runs; empty for a network
// that gives none (rootless).
func (r *Runtime) podIP(ctx context.Context, v *podView) (string, error) {
	d, err := r.details(ctx, v.infra)
	return d.ip, err
}

// details returns what only an inspection says of a, from memory if a has not
// changed since.
func (r *Runtime) details(ctx context.Context, a *attempt) (detail, error) {
	stamp := fmt.Sprint(a.State, a.StartedAt, a.ExitedAt)
	if d, ok := r.seen.detail(a.ID, stamp); ok {
		return d, nil
	}
	data, err := r.inspect(ctx, "inspect container "+first(a.Names), a.ID)
	if isGone(err) {
		return detail{}, nil // removed since the listing; the next one says so
	}
	if err != nil {
		return detail{}, err
	}
	d := detail{stamp: stamp}
	if data.State != nil {
		d.oom, d.started, d.finished = data.State.OOMKilled, data.State.StartedAt, data.State.FinishedAt
	}
	if a.state == runtime.Exited {
		if d.message, err = r.message(ctx, a, data); err != nil {
			r.cfg.Logger.Warn("what a container said of its end cannot be read", "container", first(a.Names), "err", err)
		}
	}
	if data.NetworkSettings != nil {
		d.ip = data.NetworkSettings.IPAddress
		for _, n := range data.NetworkSettings.Networks {
			d.ip = cmp.Or(d.ip, n.IPAddress)
		}
	}
	r.seen.setDetail(a.ID, d)
	return d, nil
}

// message is what the program of an attempt that has exited said of its end.
func (r *Runtime) message(ctx context.Context, a *attempt, data *define.InspectContainerData) (string, error) {
	said, err := r.cfg.readMessage(a.run(), a.Labels[labelContainer], a.number)
	if err != nil || said != "" || a.ExitCode == 0 || a.Labels[labelFromLog] == "" {
		return said, err
	}
	return runtime.LogMessage(func(opts runtime.LogOptions, w io.Writer) error {
		return r.copyLogOf(ctx, "read the log of "+first(a.Names), *a, data, opts, w)
	})
}

func first(names []string) string {
	if len(names) == 0 {
		return "without a name"
	}
	return names[0]
}

// number reads a label; 0 if a former holon did not write it.
func number(label string) int64 {
	n, err := strconv.ParseInt(label, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
