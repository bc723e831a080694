package process

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"holon/runtime"
)

func (r *Runtime) kept() runtime.Kept { return runtime.Kept(filepath.Join(r.cfg.Dir, "volumes")) }

// Volumes implements runtime.Runtime.
func (r *Runtime) Volumes(context.Context) ([]string, error) {
	names, err := r.kept().List()
	return names, diskError("list volumes", r.cfg.Dir, err)
}

// VolumeSize implements runtime.Runtime.
func (r *Runtime) VolumeSize(_ context.Context, name string) (int64, error) {
	bytes, err := r.kept().Size(name)
	return bytes, diskError("measure volume "+name, r.cfg.Dir, err)
}

// DirSize implements runtime.Runtime.
func (r *Runtime) DirSize(ctx context.Context, id runtime.RunID, volume string) (int64, error) {
	p := r.lookup(id)
	if p == nil {
		return 0, &runtime.Error{Kind: runtime.NotFound, Op: "measure volume " + volume, Err: fmt.Errorf("no pod %q on this node", id)}
	}
	return runtime.DirSize(ctx, id, volumeDir(p.dir(r), volume))
}

// RemoveVolume implements runtime.Runtime.
func (r *Runtime) RemoveVolume(_ context.Context, name string) error {
	op := "remove volume " + name
	if r.mounted(name) {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: errors.New("a pod of this node has it"), Next: "end the pod first"}
	}
	return diskError(op, r.cfg.Dir, r.kept().Remove(name))
}

// mounted reports whether a pod has a volume, one that is being made included.
func (r *Runtime) mounted(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pods {
		if runtime.InUse(name, []runtime.Status{p.status()}) {
			return true
		}
	}
	return false
}
