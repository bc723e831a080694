//go:build remote

package podman

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"holon/runtime"
)

// ensureImages brings the images of the containers that have to be made.
func (r *Runtime) ensureImages(ctx context.Context, spec runtime.Spec, v *podView) error {
	for _, c := range spec.Containers {
		if c.Waits || v != nil && v.newest(c.Name) != nil {
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
		return imageMissing(op, c.Image, errors.New("it is not on this node and imagePullPolicy is Never"))
	}
	op = fmt.Sprintf("pull image %s of container %s", c.Image, c.Name)
	err := r.link.call(ctx, r.cfg.PullTimeout, op, func(ctx context.Context) error {
		// The node tries again by itself, and has other nodes to ask meanwhile.
		_, err := images.Pull(ctx, c.Image, &images.PullOptions{Quiet: ptr(true), Retry: ptr(uint(0))})
		return err
	})
	var e *runtime.Error
	if errors.As(err, &e) && e.Kind != runtime.Unavailable && ctx.Err() == nil {
		// Whatever the registry's reason was, the image cannot be had now.
		return imageMissing(e.Op, c.Image, e.Err)
	}
	return err
}

// silence is what Podman says when no registry could be asked.
var silence = regexp.MustCompile(`dial (tcp|udp|unix)|no such host|i/o timeout|TLS handshake timeout|context deadline exceeded|` +
	`server gave HTTP response to HTTPS client|no unqualified-search registries are defined|read: connection reset`)

func imageMissing(op, image string, why error) error {
	return &runtime.Error{
		Kind: runtime.ImageMissing, Op: op, Next: nextImage,
		Err: &runtime.ImageError{Image: image, NoRegistry: silence.MatchString(why.Error()), Err: why},
	}
}
