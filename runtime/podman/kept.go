//go:build remote

package podman

import (
	"context"
	"errors"

	"holon/runtime"
)

// Volumes implements runtime.Runtime.
func (r *Runtime) Volumes(context.Context) ([]string, error) {
	names, err := r.cfg.kept().List()
	return names, orFailed("list volumes", err)
}

// VolumeSize implements runtime.Runtime.
func (r *Runtime) VolumeSize(_ context.Context, name string) (int64, error) {
	bytes, err := r.cfg.kept().Size(name)
	return bytes, orFailed("measure volume "+name, err)
}

// DirSize implements runtime.Runtime.
func (r *Runtime) DirSize(ctx context.Context, id runtime.RunID, volume string) (int64, error) {
	return runtime.DirSize(ctx, id, r.cfg.volumeDir(id, volume))
}

// RemoveVolume implements runtime.Runtime.
func (r *Runtime) RemoveVolume(ctx context.Context, name string) error {
	op := "remove volume " + name
	pods, err := r.Pods(ctx)
	if err != nil {
		return err
	}
	if runtime.InUse(name, pods) {
		return &runtime.Error{Kind: runtime.Failed, Op: op, Err: errors.New("a pod of this node has it"), Next: "end the pod first"}
	}
	return orFailed(op, r.cfg.kept().Remove(name))
}

func orFailed(op string, err error) error {
	if err == nil {
		return nil
	}
	return failed(op, err)
}
