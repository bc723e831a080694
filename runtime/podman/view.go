//go:build remote

package podman

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"holon/runtime"
)

// A podView is what Podman says of one pod: its infra container and all
// attempts of its containers that are kept, oldest first.
type podView struct {
	run      runtime.RunID
	pod      string // Podman's ID
	labels   map[string]string
	infra    *attempt
	attempts map[string][]attempt
}

// An attempt is one Podman container.
type attempt struct {
	types.ListContainer
	number, index int
	state         runtime.ContainerState
}

func (a *attempt) run() runtime.RunID { return runtime.RunID(a.Labels[labelRun]) }

// newest returns the newest attempt of a container, or nil.
func (v *podView) newest(container string) *attempt {
	if as := v.attempts[container]; len(as) > 0 {
		return &as[len(as)-1]
	}
	return nil
}

// before returns the attempt before the newest, or nil.
func (v *podView) before(container string) *attempt {
	if as := v.attempts[container]; len(as) > 1 {
		return &as[len(as)-2]
	}
	return nil
}

// alive reports whether the pod's sandbox runs: without it containers that
// still run have lost their network.
func (v *podView) alive() bool { return v.infra != nil && v.infra.state == runtime.Running }

// names lists the pod's containers in the order of its spec.
func (v *podView) names() []string {
	return slices.SortedFunc(maps.Keys(v.attempts), func(a, b string) int {
		return cmp.Or(cmp.Compare(v.newest(a).index, v.newest(b).index), cmp.Compare(a, b))
	})
}

// views returns this node's pods, or only that of run.
func (r *Runtime) views(ctx context.Context, run runtime.RunID) (map[runtime.RunID]*podView, error) {
	var list []types.ListContainer
	err := r.look(ctx, "list containers", func(ctx context.Context) (err error) {
		list, err = containers.List(ctx, &containers.ListOptions{All: ptr(true), Filters: r.cfg.ownFilter(run)})
		if err != nil {
			return err
		}
		return refreshDead(ctx, list)
	})
	if err != nil {
		return nil, err
	}
	out := make(map[runtime.RunID]*podView)
	for _, c := range list {
		// Checked again: some versions match a label filter by prefix.
		if !r.cfg.owns(c.Labels, run) || c.Labels[labelRun] == "" {
			continue
		}
		id := runtime.RunID(c.Labels[labelRun])
		v := out[id]
		if v == nil {
			v = &podView{run: id, attempts: make(map[string][]attempt)}
			out[id] = v
		}
		v.add(c)
	}
	for _, v := range out {
		for _, as := range v.attempts {
			slices.SortFunc(as, func(a, b attempt) int { return cmp.Compare(a.number, b.number) })
		}
	}
	return out, nil
}

// view returns the pod of run, or nil.
func (r *Runtime) view(ctx context.Context, run runtime.RunID) (*podView, error) {
	all, err := r.views(ctx, run)
	return all[run], err
}

// hold looks at the pod of run, nil if there is none, and keeps others from changing it
// until unlock.
func (r *Runtime) hold(ctx context.Context, run runtime.RunID) (v *podView, unlock func(), err error) {
	if unlock, err = r.locks.lock(ctx, run); err != nil {
		return nil, nil, err
	}
	if v, err = r.view(ctx, run); err != nil {
		unlock()
		return nil, nil, err
	}
	return v, unlock, nil
}

func (v *podView) add(c types.ListContainer) {
	a := attempt{ListContainer: c, state: stateOf(c.State)}
	v.pod, v.labels = cmp.Or(c.Pod, v.pod), c.Labels
	if c.IsInfra || c.Labels[labelContainer] == "" {
		v.infra = &a
		return
	}
	a.number, _ = strconv.Atoi(c.Labels[labelAttempt])
	a.index, _ = strconv.Atoi(c.Labels[labelIndex])
	name := c.Labels[labelContainer]
	v.attempts[name] = append(v.attempts[name], a)
}

func stateOf(podman string) runtime.ContainerState {
	switch podman {
	case "created", "configured", "initialized":
		return runtime.Created
	case "running", "paused", "stopping":
		return runtime.Running
	}
	return runtime.Exited
}

// refreshDead corrects containers that Podman believes to run though their
// process is gone: Podman learns of an exit from conmon, and conmon may have
// been killed too. Only a Podman on this host has processes to look at.
func refreshDead(ctx context.Context, list []types.ListContainer) error {
	if !isLocal(ctx) {
		return nil
	}
	for i, c := range list {
		if c.State != "running" || c.Pid == 0 || isRunning(c.Pid) {
			continue
		}
		now, err := containers.Inspect(ctx, c.ID, nil)
		if err != nil || now.State == nil {
			continue // it is being removed
		}
		switch {
		case now.State.Status != "running":
			list[i].State, list[i].ExitCode = now.State.Status, now.State.ExitCode
		case !isRunning(now.State.ConmonPid):
			list[i].State, list[i].ExitCode = "exited", exitLost
		}
	}
	return ctx.Err()
}

// exitLost stands for the exit code of a container whose conmon was killed.
const exitLost = -1

func isRunning(pid int) bool {
	_, err := startTime(pid)
	return err == nil
}

// unixTime reads the seconds of a listing; Podman writes the zero time as a
// negative number.
func unixTime(seconds int64) time.Time {
	if seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
