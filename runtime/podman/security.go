//go:build remote

package podman

import (
	"context"
	"strconv"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/specgen"
	"holon/runtime"
)

// secure says as whom a container runs and what it may do. The image is asked for its
// user only if that matters.
func (r *Runtime) secure(ctx context.Context, s *specgen.SpecGenerator, c runtime.Container) error {
	of := &c.Security
	user := ""
	if of.User == nil && (of.NonRoot || of.Group != nil) {
		err := r.look(ctx, "read the user of image "+c.Image, func(ctx context.Context) error {
			image, err := images.GetImage(ctx, c.Image, nil)
			if err == nil {
				user = image.User
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := of.CheckUser(c.Name, user); err != nil {
		return err
	}
	s.User = of.UserSpec(user)
	for _, g := range of.Groups {
		s.Groups = append(s.Groups, strconv.FormatInt(g, 10))
	}
	if of.Privileged {
		s.Privileged = ptr(true) // Podman takes no capabilities beside it
	} else {
		s.CapAdd, s.CapDrop = capabilities(of.Add), capabilities(of.Drop)
	}
	if of.NoNewPrivs {
		s.NoNewPrivileges = ptr(true)
	}
	if of.ReadOnlyRoot {
		s.ReadOnlyFilesystem, s.ReadWriteTmpfs = ptr(true), ptr(false)
	}
	if of.Unconfined {
		s.SeccompProfilePath = "unconfined"
	}
	return nil
}

// capabilities are names as Podman wants them.
func capabilities(names []string) (out []string) {
	for _, name := range names {
		name = strings.ToUpper(name)
		if name != "ALL" && !strings.HasPrefix(name, "CAP_") {
			name = "CAP_" + name
		}
		out = append(out, name)
	}
	return out
}
