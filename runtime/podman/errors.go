//go:build remote

package podman

import (
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings"
	"holon/runtime"
)

// meanings tells kinds of failure apart by Podman's words: its API gives most
// failures of a start as status 500. The first match counts. The words are
// those of Podman 4.3 to 5.8 and of runc and crun.
var meanings = []struct {
	words *regexp.Regexp
	kind  runtime.Kind
	next  string
}{
	{
		regexp.MustCompile(`address already in use|port is already allocated|proxy already running|conflict with public port`),
		runtime.PortTaken, "free the port or choose another hostPort",
	},
	{
		regexp.MustCompile(`executable file .*not found|command that was not found|exec: ".*": |exec .*: (no such file|permission denied|exec format error)|stat .*: no such file or directory: OCI|OCI runtime attempted to invoke a command|exec format error`),
		runtime.BadCommand, "correct command, or use an image that has it",
	},
	{
		regexp.MustCompile(`workdir .*does not exist|chdir to cwd|cwd .*not a directory`),
		runtime.BadCommand, "correct workingDir, or use an image that has it",
	},
	{
		regexp.MustCompile(`no such image|image not known|unable to find a name and tag match`),
		runtime.ImageMissing, nextImage,
	},
	{
		regexp.MustCompile(`podman-pause|finding pause binary|catatonit`),
		runtime.Failed, "Podman cannot build its pause image: install catatonit",
	},
	{
		regexp.MustCompile(`cannot allocate memory|no space left on device|container init was OOM-killed`),
		runtime.OutOfMemory, "free memory or disk on this node",
	},
	{
		regexp.MustCompile(`setting rlimit`),
		runtime.Failed, "set default_ulimits in containers.conf at or below this machine's hard limits",
	},
	{
		regexp.MustCompile(`(container|pod) name .* is (already )?in use|name .* is in use|already exists`),
		runtime.NameTaken, "rename or remove what holds the name; holon never removes what it did not make",
	},
	{
		regexp.MustCompile(`no such (container|pod|exec session)|no (container|pod) with name or ID|has already been removed`),
		runtime.NotFound, "",
	},
}

const nextImage = "load it on any node (`holon image load`, `podman build`) or correct image and imagePullPolicy"

// classify turns an answer of Podman into a typed error.
func classify(op string, err error) *runtime.Error {
	var typed *runtime.Error
	if errors.As(err, &typed) {
		return typed
	}
	text := strings.TrimSpace(err.Error())
	e := &runtime.Error{Kind: runtime.Failed, Op: op, Err: errors.New(text)}
	for _, m := range meanings {
		if m.words.MatchString(text) {
			e.Kind, e.Next = m.kind, m.next
			return e
		}
	}
	if code, notModel := bindings.CheckResponseCode(err); notModel == nil && code == http.StatusNotFound {
		e.Kind = runtime.NotFound
	}
	return e
}

// isGone reports whether err says that the object is not there.
func isGone(err error) bool { return err != nil && runtime.KindOf(err) == runtime.NotFound }
