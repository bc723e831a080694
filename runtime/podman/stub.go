//go:build !remote

package podman

import (
	"context"
	"errors"

	"holon/runtime"
)

// Runtime stands for a Podman that this binary cannot talk to. New never
// returns one.
type Runtime struct{ runtime.Runtime }

// Service stands for a Podman service that this binary cannot start.
type Service struct {
	URL        string
	OCIRuntime string
	Notes      []string
	PID        int
}

func absent(op string) error {
	return &runtime.Error{
		Kind: runtime.Unavailable,
		Op:   op,
		Err:  errors.New("built without Podman support"),
		Next: "build with `make build`",
	}
}

// New fails: this binary was built without Podman support.
func New(context.Context, Config) (*Runtime, error) { return nil, absent("use Podman") }

// StartService fails: this binary was built without Podman support.
func StartService(context.Context, ServiceConfig) (*Service, error) {
	return nil, absent("start a Podman service")
}

// Stop fails: this binary was built without Podman support.
func (*Service) Stop(context.Context) error { return absent("stop a Podman service") }

// CleanService fails: this binary was built without Podman support.
func CleanService(context.Context, string) error { return absent("clean a Podman service") }

// TrialContainer fails: this binary was built without Podman support.
func TrialContainer(context.Context, string) error { return absent("try a container") }

// LoadImage fails: this binary was built without Podman support.
func LoadImage(context.Context, string, string, map[string]string, []string) error {
	return absent("load an image")
}
