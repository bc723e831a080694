//go:build remote

package podman

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"go.podman.io/image/v5/docker/reference"
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

// ensureImage looks for the image of a container. Whoever has it make the container
// brings it: other nodes come before a registry.
func (r *Runtime) ensureImage(ctx context.Context, c runtime.Container) error {
	op := fmt.Sprintf("find image %s of container %s", c.Image, c.Name)
	if _, err := reference.ParseNormalizedNamed(c.Image); err != nil {
		return &runtime.Error{Kind: runtime.BadImageName, Op: op, Err: err, Next: "correct the image's name"}
	}
	if c.PullPolicy == "Always" {
		return &runtime.Error{Kind: runtime.ImageMissing, Op: op, Next: nextImage,
			Err: &runtime.ImageError{Image: c.Image, Ask: true, Err: errors.New("a registry is to be asked first: imagePullPolicy is Always")}}
	}
	var here bool
	err := r.look(ctx, op, func(ctx context.Context) (err error) {
		here, err = images.Exists(ctx, c.Image, nil)
		return err
	})
	if err == nil && !here {
		err = imageMissing(op, c.Image, errors.New("it is not on this node"))
	}
	return err
}

// PullImage implements runtime.Images.
func (r *Runtime) PullImage(ctx context.Context, ref string, auth runtime.Auth) (found runtime.Image, err error) {
	op := "pull image " + ref
	// The node tries again by itself, and has other nodes to ask meanwhile.
	options := &images.PullOptions{Quiet: ptr(true), Retry: ptr(uint(0))}
	if auth != (runtime.Auth{}) {
		options.Username, options.Password = &auth.User, &auth.Password
	}
	err = r.link.call(ctx, r.cfg.PullTimeout, op, func(ctx context.Context) error {
		_, err := images.Pull(ctx, ref, options)
		return err
	})
	var e *runtime.Error
	if errors.As(err, &e) && e.Kind != runtime.Unavailable && ctx.Err() == nil {
		// Whatever the registry's reason was, the image cannot be had now.
		return found, imageMissing(e.Op, ref, e.Err)
	}
	if err != nil {
		return found, err
	}
	return r.FindImage(ctx, ref)
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
