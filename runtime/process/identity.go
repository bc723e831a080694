package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"holon/runtime"
)

// identity is as whom a program runs and what it can never do. The zero value is the
// daemon's own.
type identity struct {
	User, Group *uint32  `json:",omitempty"`
	Groups      []uint32 `json:",omitempty"`
	NoNewPrivs  bool     `json:",omitempty"`
	Dropped     []uint8  `json:",omitempty"` // capabilities that it cannot get
}

// identityOf is what can be had of a container's wishes on this host. The notes say
// what cannot.
func identityOf(c *runtime.Container, dir string) (id identity, notes []string, err error) {
	s := &c.Security
	self := uint32(os.Geteuid())
	if err := s.CheckUser(c.Name, fmt.Sprint(self)); err != nil {
		return id, nil, err
	}
	id.NoNewPrivs = s.NoNewPrivs
	lacks := func(is bool, what string) {
		if is {
			notes = append(notes, what)
		}
	}
	switch other := s.User != nil && uint32(*s.User) != self || s.Group != nil && int(*s.Group) != os.Getegid() || len(s.Groups) > 0; {
	case self == 0:
		id.User, id.Group = number(s.User), number(s.Group)
		for _, g := range s.Groups {
			id.Groups = append(id.Groups, uint32(g))
		}
		id.Dropped = dropped(s)
	case s.User != nil && uint32(*s.User) != self:
		return id, nil, &runtime.Error{Kind: runtime.BadConfig, Op: "start container " + c.Name,
			Err: fmt.Errorf("it is to run as user %d, and this node runs processes as user %d", *s.User, self), Next: "run the node as root, or leave runAsUser out"}
	default:
		lacks(other, "its groups are those of this node's user: only root can give others")
		lacks(len(s.Drop) > 0, "no capabilities are dropped: it has none")
	}
	lacks(s.ReadOnlyRoot, "readOnlyRootFilesystem has no effect: a process sees the files of its host")
	lacks(s.Privileged && self != 0, "privileged has no effect: this node does not run as root")
	if closed := closedTo(id.User, dir); closed != "" {
		lacks(true, fmt.Sprintf("user %d cannot enter %s, so $%s and its volumes are closed to it: open it by `chmod o+x %s`", *id.User, closed, podDirEnv, closed))
	}
	return id, notes, nil
}

func number(id *int64) *uint32 {
	if id == nil {
		return nil
	}
	n := uint32(*id)
	return &n
}

// closedTo is the first directory on the way that others than its owner may not enter;
// empty if there is none, or for root.
func closedTo(user *uint32, dir string) string {
	if user == nil || *user == 0 {
		return ""
	}
	at := "/"
	for _, name := range strings.Split(filepath.Dir(dir), "/") {
		at = filepath.Join(at, name)
		if info, err := os.Stat(at); err == nil && info.Mode().Perm()&1 == 0 {
			return at
		}
	}
	return ""
}

// capabilityNames are Linux' capabilities by number.
var capabilityNames = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
	NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
	SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
	WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

// dropped are the capabilities that a container is not to have. One that runs as root has
// all others, as every process of the host's root.
func dropped(s *runtime.Security) (numbers []uint8) {
	named := func(list []string, name string) bool {
		return slices.ContainsFunc(list, func(c string) bool {
			c = strings.TrimPrefix(strings.ToUpper(c), "CAP_")
			return c == name || c == "ALL"
		})
	}
	for number, name := range capabilityNames {
		if named(s.Drop, name) && !named(s.Add, name) {
			numbers = append(numbers, uint8(number))
		}
	}
	return numbers
}

// own gives the user its own directory.
func (id *identity) own(dir string) error {
	if id.User == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chown(dir, int(*id.User), int(id.group()))
}

func (id *identity) group() uint32 {
	if id.Group != nil {
		return *id.Group
	}
	return 0 // what a container has whose image does not say
}

// other reports whether a program runs as somebody else than its shim.
func (id *identity) other() bool { return id.User != nil || id.Group != nil || len(id.Groups) > 0 }

func (id *identity) user() uint32 {
	if id.User != nil {
		return *id.User
	}
	return 0
}

// prepare makes the calling, locked thread and attr those of a program that is to be
// started. The shim itself goes to the working directory, which the program's user may
// have no way to.
func (id *identity) prepare(attr *os.ProcAttr, dir string) error {
	if err := id.limit(); err != nil {
		return err
	}
	if !id.other() {
		return nil
	}
	attr.Sys.Credential = &syscall.Credential{Uid: id.user(), Gid: id.group(), Groups: id.Groups}
	attr.Dir = ""
	return unix.Chdir(dir)
}

// limit takes from the calling thread what nothing below it can get back.
func (id *identity) limit() error {
	for _, number := range id.Dropped {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(number), 0, 0, 0); err != nil && err != unix.EINVAL { // an older kernel has fewer
			return fmt.Errorf("drop capability %s: %w", capabilityNames[number], err)
		}
	}
	if id.NoNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("give up new privileges: %w", err)
		}
	}
	return nil
}

// become makes this process, of which the calling thread is locked, what a program of
// the container is.
func (id *identity) become(dir string) error {
	if err := unix.Chdir(dir); err != nil {
		return err
	}
	if err := id.limit(); err != nil {
		return err
	}
	if !id.other() {
		return nil
	}
	groups := make([]int, len(id.Groups))
	for i, g := range id.Groups {
		groups[i] = int(g)
	}
	if err := unix.Setgroups(groups); err != nil {
		return fmt.Errorf("join the pod's groups: %w", err)
	}
	if err := unix.Setresgid(int(id.group()), int(id.group()), int(id.group())); err != nil {
		return fmt.Errorf("join the container's group: %w", err)
	}
	if err := unix.Setresuid(int(id.user()), int(id.user()), int(id.user())); err != nil {
		return fmt.Errorf("become the container's user: %w", err)
	}
	return nil
}
