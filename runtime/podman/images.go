//go:build remote

package podman

import (
	"context"
	"errors"
	"fmt"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"holon/runtime"
)

// ensureImages brings the images of the containers that have to be made.
func (r *Runtime) ensureImages(ctx context.Context, spec runtime.Spec, v *podView) error {
	for _, c := range spec.Containers {
		if v != nil && v.newest(c.Name) != nil {
			continue
		}
		if err := r.ensureImage(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// ensureImage applies the container's pull policy.
func (r *Runtime) ensureImage(ctx context.Context, c runtime.Container) error {
	op := fmt.Sprintf("find image %s of container %s", c.Image, c.Name)
	if c.PullPolicy != "Always" {
		var here bool
		err := r.look(ctx, op, func(ctx context.Context) (err error) {
			here, err = images.Exists(ctx, c.Image, nil)
			return err
		})
		if err != nil || here {
			return err
		}
	}
	if c.PullPolicy == "Never" {
		return &runtime.Error{
			Kind: runtime.ImageMissing, Op: op,
			Err:  errors.New("it is not on this node and imagePullPolicy is Never"),
			Next: nextImage,
		}
	}
	op = fmt.Sprintf("pull image %s of container %s", c.Image, c.Name)
	err := r.link.call(ctx, r.cfg.PullTimeout, op, func(ctx context.Context) error {
		_, err := images.Pull(ctx, c.Image, &images.PullOptions{Quiet: ptr(true)})
		return err
	})
	var e *runtime.Error
	if errors.As(err, &e) && e.Kind != runtime.Unavailable && ctx.Err() == nil {
		// Whatever the registry's reason was, the image cannot be had now.
		return &runtime.Error{Kind: runtime.ImageMissing, Op: e.Op, Err: e.Err, Next: nextImage}
	}
	return err
}
