package runtime

import (
	"fmt"
	"strconv"
	"strings"
)

// Security is as whom a container runs, and what it may do. The zero value is what its
// image and the runtime say.
type Security struct {
	User, Group *int64 `json:",omitempty"` // nil: the image's
	// NonRoot refuses, with BadConfig, to run as root or as nobody knows whom.
	NonRoot bool    `json:",omitempty"`
	Groups  []int64 `json:",omitempty"` // besides Group
	// Add and Drop are capabilities in Kubernetes' spelling, NET_ADMIN or ALL; what is
	// added counts more than what is dropped.
	Add, Drop    []string `json:",omitempty"`
	Privileged   bool     `json:",omitempty"`
	NoNewPrivs   bool     `json:",omitempty"`
	ReadOnlyRoot bool     `json:",omitempty"`
	Unconfined   bool     `json:",omitempty"` // by no seccomp profile
}

// CheckUser judges NonRoot, by what the image says of its user.
func (s *Security) CheckUser(container, image string) error {
	var why string
	name, _, _ := strings.Cut(image, ":")
	uid, err := strconv.ParseInt(name, 10, 64)
	switch {
	case !s.NonRoot:
		return nil
	case s.User != nil && *s.User != 0:
		return nil
	case s.User != nil:
		why = "runAsUser is 0"
	case name == "" || name == "root" || err == nil && uid == 0:
		why = "the image runs as root"
	case err != nil:
		why = fmt.Sprintf("the image's user %q is not a number, so it may be root", name)
	default:
		return nil
	}
	return &Error{
		Kind: BadConfig, Op: "start container " + container, Err: fmt.Errorf("runAsNonRoot, and %s", why),
		Next: "set runAsUser to another user than 0, or take an image with one",
	}
}

// UserSpec is the user as image configurations have it: user, user:group, or empty for
// the image's. A group alone goes with the image's user.
func (s *Security) UserSpec(image string) string {
	user := ""
	if s.User != nil {
		user = strconv.FormatInt(*s.User, 10)
	}
	if s.Group == nil {
		return user
	}
	if user == "" {
		user, _, _ = strings.Cut(image, ":")
	}
	if user == "" {
		user = "0"
	}
	return user + ":" + strconv.FormatInt(*s.Group, 10)
}
