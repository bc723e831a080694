package podman

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const rootfulSocket = "/run/podman/podman.sock"

// FindURL returns the address of the Podman service that Podman's own clients
// would use: CONTAINER_HOST, else the rootful socket if this user may write to
// it, else the user's own. The service need not be there.
func FindURL() string {
	if url := os.Getenv("CONTAINER_HOST"); url != "" {
		return url
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if os.Geteuid() == 0 || dir == "" || unix.Access(rootfulSocket, unix.W_OK) == nil {
		return "unix://" + rootfulSocket
	}
	return "unix://" + filepath.Join(dir, "podman", "podman.sock")
}
