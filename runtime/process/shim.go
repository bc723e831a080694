package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"holon/runtime"
)

const podDirEnv = "HOLON_POD_DIR"

// File descriptors that the daemon hands to a shim.
const (
	lockFD    = 3 // the attempt's lock, held while the shim lives
	answerFD  = 4 // one JSON answer, then closed
	secretsFD = 5 // variables that no file holds, see hiddenFile; read, then closed
)

// startOrder is start.json: all that a shim needs to run an attempt.
type startOrder struct {
	Version     int // filesVersion; 0 is 1
	Argv        []string
	Env         []string
	SecretEnv   []string // names of variables that come on secretsFD
	WorkingDir  string
	PodDir      string // $HOLON_POD_DIR
	PodIP       string
	Private     bool // run in a mount namespace of its own
	Mounts      []mountOrder
	Cgroups     containerCgroups
	Forwards    []forwardOrder
	Listens     []listenOrder // declared ports, to explain a quick exit
	LogBytesMax int64
	Notes       []string     // for the operator: what is not as asked
	Message     messageOrder `json:",omitzero"`
	Identity    identity     `json:",omitzero"`
}

// answer is what a shim says once: its program runs, or why not.
type answer struct {
	Kind  runtime.Kind // empty: it runs
	Error string
	State attemptState
}

// Shim is the body of the hidden subcommand that Config.Shim runs: "run DIR"
// keeps one attempt, "exec DIR -- COMMAND..." becomes a command in a running
// container. It returns the exit code of the process. Call it before anything
// that starts goroutines or costs memory: there is one shim per container.
func Shim(args []string) int {
	switch {
	case len(args) == 2 && args[0] == "run":
		return runShim(args[1])
	case len(args) >= 4 && args[0] == "exec" && args[2] == "--":
		return execShim(args[1], args[3:])
	}
	fmt.Fprintln(os.Stderr, "holon shim: this is run by holon itself, not by hand")
	return 2
}

// shim keeps one attempt of one container.
type shim struct {
	dir   string
	order startOrder
	state attemptState
	log   *logWriter
	pipes sync.WaitGroup // the readers of stdout and stderr
	// message is what the program may write its end's reason to; nil: it cannot.
	message *os.File
}

func runShim(dir string) int {
	unix.CloseOnExec(lockFD)
	unix.CloseOnExec(answerFD)
	unix.CloseOnExec(secretsFD)
	reply := os.NewFile(answerFD, "answer")
	// A handler, not SIG_IGN: the program must not inherit ignored signals.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGPIPE)

	s := &shim{dir: dir}
	err := s.start()
	if err != nil {
		json.NewEncoder(reply).Encode(answer{Kind: runtime.KindOf(err), Error: cause(err)})
		return 1
	}
	json.NewEncoder(reply).Encode(answer{State: s.state})
	reply.Close()
	debug.FreeOSMemory()
	if err := s.keep(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// cause is the text of an error without the operation: the daemon adds its own.
func cause(err error) string {
	var e *runtime.Error
	if errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}

// start brings the attempt to running.
func (s *shim) start() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	if err := readJSON(filepath.Join(s.dir, startFile), startFileBytesMax, &s.order); err != nil {
		return err
	}
	secrets, err := readHidden(os.NewFile(secretsFD, "secrets"))
	if err != nil {
		return err
	}
	env := s.order.Env
	s.order.Env = append(slices.Clip(env), secrets...)
	defer func() { s.order.Env = env }() // the program has them now
	self, err := identify(os.Getpid())
	if err != nil {
		return err
	}
	if s.order.Cgroups.Shims != "" {
		if err := writeCgroup(s.order.Cgroups.Shims, "cgroup.procs", "0"); err != nil {
			return fmt.Errorf("enter control group: %w", err)
		}
	}
	s.openMessage()
	s.state = attemptState{Phase: starting, Shim: self, Message: strings.Join(s.order.Notes, "; ")}
	if err := writeJSON(filepath.Join(s.dir, stateFile), &s.state, volatile); err != nil {
		return err
	}
	if s.log, err = openLog(s.dir, s.order.LogBytesMax); err != nil {
		return err
	}
	for _, f := range s.order.Forwards {
		if err := f.listen(); err != nil {
			return portError(f.Listen, err)
		}
	}
	if s.state.Main, err = s.launch(); err != nil {
		return err
	}
	s.state.Phase, s.state.StartedAt = running, time.Now()
	return writeJSON(filepath.Join(s.dir, stateFile), &s.state, durable)
}

// launch starts the program with its output going to the log.
func (s *shim) launch() (processID, error) {
	var files [2]*os.File
	for i, stream := range []string{"stdout", "stderr"} {
		r, w, err := os.Pipe()
		if err != nil {
			return processID{}, err
		}
		defer w.Close()
		files[i] = w
		s.pipes.Go(func() { s.log.copy(stream, r) })
	}
	type result struct {
		id  processID
		err error
	}
	done := make(chan result, 1)
	go func() {
		// The thread is the program's parent: it must live as long as the shim
		// (PDEATHSIG), and it is in the program's namespace and groups.
		goruntime.LockOSThread()
		id, err := s.order.spawn(files[0], files[1])
		done <- result{id, err}
		select {}
	}()
	r := <-done
	return r.id, r.err
}

// spawn runs on a locked thread that nothing else uses afterwards.
func (o *startOrder) spawn(stdout, stderr *os.File) (processID, error) {
	if err := o.enterNamespace(); err != nil {
		return processID{}, err
	}
	for _, group := range o.threadGroups() {
		if err := writeCgroup(group, "tasks", fmt.Sprint(unix.Gettid())); err != nil {
			return processID{}, fmt.Errorf("enter control group: %w", err)
		}
	}
	path, err := lookPath(o.Argv[0], o.Env, o.WorkingDir)
	if err != nil {
		return processID{}, badCommand(o.Argv[0], err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return processID{}, err
	}
	defer null.Close()
	attr := &os.ProcAttr{
		Dir: o.WorkingDir, Env: o.Env, Files: []*os.File{null, stdout, stderr},
		Sys: &unix.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL},
	}
	if err := o.Identity.prepare(attr, o.WorkingDir); err != nil {
		return processID{}, err
	}
	if o.Cgroups.V2 {
		group, err := os.Open(o.Cgroups.Track)
		if err != nil {
			return processID{}, fmt.Errorf("enter control group: %w", err)
		}
		defer group.Close()
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(group.Fd())
	}
	p, err := os.StartProcess(path, o.Argv, attr)
	if err != nil {
		return processID{}, badCommand(o.Argv[0], err)
	}
	id, err := identify(p.Pid) // not reaped yet, so it is there
	p.Release()
	return id, err
}

// threadGroups are the v1 groups, which a single thread can enter.
func (o *startOrder) threadGroups() []string {
	if o.Cgroups.V2 || o.Cgroups.Track == "" {
		return o.Cgroups.V1
	}
	return append([]string{o.Cgroups.Track}, o.Cgroups.V1...)
}

// lookPath finds a command as execvp(3) would in the container.
func lookPath(command string, env []string, dir string) (string, error) {
	if command == "" {
		return "", errors.New("it is empty")
	}
	if strings.Contains(command, "/") {
		if !filepath.IsAbs(command) {
			command = filepath.Join(dir, command)
		}
		return command, executable(command)
	}
	var path string
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
		}
	}
	for _, d := range filepath.SplitList(path) {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		if file := filepath.Join(d, command); executable(file) == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("it is not in PATH (%s)", path)
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file")
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a directory")
	}
	if unix.Access(path, unix.X_OK) != nil {
		return errors.New("it is not executable")
	}
	return nil
}

// badCommand says why a command cannot run: for lack of room, or for ever.
func badCommand(command string, err error) error {
	kind := runtime.BadCommand
	if errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EAGAIN) {
		kind = runtime.OutOfMemory
	}
	return &runtime.Error{Kind: kind, Op: "start", Err: fmt.Errorf("command %q cannot be run: %w", command, err)}
}
