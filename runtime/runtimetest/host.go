package runtimetest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"holon/runtime"
)

// Never is the instant at which nothing happens.
const Never time.Duration = math.MaxInt64

// HostConfig says how a simulated host behaves. The zero value starts every
// container at once and runs it for ever.
type HostConfig struct {
	Node string // prefixes container IDs; empty: "sim"
	// Prefix is that of the pods' addresses; empty: "10.88.0.". Pods are given
	// .2 to .251, the lowest free one first.
	Prefix string
	// StartDelay is from an order to a running container, RemoveDelay from the
	// end of its last container to the end of a pod.
	StartDelay, RemoveDelay time.Duration
	// Program says what an attempt of a container does. Nil: it stays. An
	// error is why it cannot start, as a *runtime.Error.
	Program func(spec runtime.Spec, c runtime.Container, attempt int) (Program, error)
	// Fail is asked before every order and may refuse it. Nil: never.
	Fail func(now time.Duration, op Op, id runtime.RunID, container string) error
}

// Op names an order to a Host.
type Op string

// The orders that Fail can refuse.
const (
	OpApply  Op = "apply"
	OpStart  Op = "start"
	OpStop   Op = "stop"
	OpForget Op = "remove volume" // the name in the place of a container's
)

// Program is what one attempt of a container does.
type Program struct {
	StartDelay time.Duration // on top of the host's
	RunFor     time.Duration // then it exits; 0: at once; Never: it stays
	ExitCode   int
	OOMKilled  bool
	Output     []Line
	// On SIGTERM the program ends after TermDelay, unless IgnoreTerm.
	IgnoreTerm bool
	TermDelay  time.Duration
	TermCode   int // exit code after SIGTERM; 0 is 0
	TermOutput []Line
	// While it runs it uses so many millicores and bytes.
	CPU, Memory int64
}

// Line is one line of output, After the start (or after SIGTERM).
type Line struct {
	After time.Duration
	Text  string // without the newline; $NAME is a variable of the container
}

// Host is a simulated container host for one node. It is a plain value driven
// by virtual time: no goroutine, no clock, no lock; the same calls give the
// same answers. now never goes back between calls.
//
//	Created -StartDelay-> Running -RunFor, Kill, Stop, Crash-> Exited -Start-> Created
type Host struct {
	cfg     HostConfig
	pods    map[runtime.RunID]*simPod
	ports   map[simPort]string // ports of other programs: port -> who
	missing map[string]bool    // images
	down    bool
	nextID  int
	starts  map[Start]int
	counts  Counts
	kept    map[string]bool // volumes that outlive their pods
}

// Start names one attempt of one container.
type Start struct {
	ID        runtime.RunID
	Container string
	Attempt   int
}

// Counts say what a Host has done since it was made.
type Counts struct {
	Applied, Adopted, Started, Exited, Removed, Refused, Killed, Crashes int
}

type simPort struct {
	protocol string
	port     int
}

type simPod struct {
	spec       runtime.Spec
	ip         string
	containers []*simContainer
	stopping   bool
	stopAt     time.Duration
	written    map[string]int64 // bytes in its volumes
}

type simContainer struct {
	spec     runtime.Container
	attempt  int
	id       string
	state    runtime.ContainerState
	program  Program
	startAt  time.Duration // when a Created one runs
	exitAt   time.Duration // when a Running one exits by itself or by SIGTERM
	killAt   time.Duration // when it will be killed; then exitAt says when it was
	exitCode int
	oom      bool
	message  string
	env      []string
	lines    []simLine
	previous []simLine
	last     runtime.Ended // of the attempt before
}

type simLine struct {
	at   time.Duration
	text string
}

// NewHost makes a host without pods.
func NewHost(cfg HostConfig) *Host {
	if cfg.Node == "" {
		cfg.Node = "sim"
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "10.88.0."
	}
	if cfg.Program == nil {
		cfg.Program = func(runtime.Spec, runtime.Container, int) (Program, error) {
			return Program{RunFor: Never, TermCode: 143}, nil
		}
	}
	return &Host{
		cfg:     cfg,
		pods:    map[runtime.RunID]*simPod{},
		ports:   map[simPort]string{},
		missing: map[string]bool{},
		starts:  map[Start]int{},
		kept:    map[string]bool{},
	}
}

// Apply is EnsurePod.
func (h *Host) Apply(now time.Duration, spec runtime.Spec) error {
	h.advance(now)
	if err := h.refuse(now, OpApply, spec.ID, ""); err != nil {
		return err
	}
	op := "ensure pod " + spec.Namespace + "/" + spec.Name
	pod := h.pods[spec.ID]
	if pod != nil && pod.stopping {
		return h.refused(runtime.Failed, op, "the pod is being stopped")
	}
	if pod == nil {
		var err error
		if pod, err = h.create(op, spec); err != nil {
			return err
		}
	} else {
		h.counts.Adopted++
	}
	for _, wanted := range spec.Containers {
		_, c := h.find(spec.ID, wanted.Name)
		if c == nil || c.id != "" || wanted.Waits { // nil: of another spec than the pod was made from
			continue
		}
		if c.spec = wanted; h.missing[wanted.Image] {
			return h.imageMissing(op, wanted.Image)
		}
		if err := h.launch(now, pod, c, 0); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) imageMissing(op, image string) error {
	return h.refused(runtime.ImageMissing, op, fmt.Sprintf("image %q is not here", image))
}

// Volumes is what the runtime answers: the kept volumes, sorted.
func (h *Host) Volumes() ([]string, error) {
	if h.down {
		return nil, h.refused(runtime.Unavailable, "list volumes", "the runtime does not answer")
	}
	return slices.Sorted(maps.Keys(h.kept)), nil
}

// RemoveVolume removes a kept volume that no pod has.
func (h *Host) RemoveVolume(now time.Duration, name string) error {
	h.advance(now)
	if err := h.refuse(now, OpForget, "", name); err != nil {
		return err
	}
	if runtime.InUse(name, h.Statuses(now)) {
		return h.refused(runtime.Failed, "remove volume "+name, "a pod has it")
	}
	delete(h.kept, name)
	return nil
}

// Write has containers of a pod put so many bytes more into one of its volumes.
func (h *Host) Write(id runtime.RunID, volume string, bytes int64) {
	if pod := h.pods[id]; pod != nil {
		pod.written[volume] += bytes
	}
}

// DirSize is what they have put there.
func (h *Host) DirSize(now time.Duration, id runtime.RunID, volume string) (int64, error) {
	h.advance(now)
	pod := h.pods[id]
	if pod == nil || !slices.ContainsFunc(pod.spec.Volumes, func(v runtime.Volume) bool { return v.Name == volume }) {
		return 0, h.refused(runtime.NotFound, "measure volume "+volume, "no such pod or volume")
	}
	return pod.written[volume], nil
}

// create makes the sandbox of a pod, or refuses it whole.
func (h *Host) create(op string, spec runtime.Spec) (*simPod, error) {
	for _, c := range spec.Containers {
		if h.missing[c.Image] && !c.Waits {
			return nil, h.imageMissing(op, c.Image)
		}
		for _, p := range c.Ports {
			if who := h.portOwner(p); who != "" {
				return nil, h.refused(runtime.PortTaken, op, fmt.Sprintf("port %d is taken by %s", p.HostPort, who))
			}
		}
	}
	ip, ok := h.freeAddress()
	if !ok {
		return nil, h.refused(runtime.PortTaken, op, "no free address")
	}
	for _, name := range runtime.ClaimsOf(spec.Volumes) {
		if err := runtime.CheckClaim(name); err != nil {
			return nil, h.refused(runtime.BadSpec, op, err.Error())
		}
		h.kept[name] = true
	}
	pod := &simPod{spec: spec, ip: ip, written: map[string]int64{}}
	for _, c := range spec.Containers {
		pod.containers = append(pod.containers, &simContainer{spec: c, state: runtime.Created, startAt: Never, exitAt: Never, killAt: Never})
	}
	h.pods[spec.ID] = pod
	h.counts.Applied++
	return pod, nil
}

// Start is StartContainer.
func (h *Host) Start(now time.Duration, spec runtime.Spec, container string, attempt int) error {
	h.advance(now)
	if err := h.refuse(now, OpStart, spec.ID, container); err != nil {
		return err
	}
	op := fmt.Sprintf("start container %s/%s", spec.Name, container)
	pod, c := h.find(spec.ID, container)
	switch {
	case c == nil:
		return h.refused(runtime.NotFound, op, "no such pod or container")
	case pod.stopping:
		return h.refused(runtime.Failed, op, "the pod is being stopped")
	case attempt <= c.attempt:
		return nil
	case c.state != runtime.Exited:
		return h.refused(runtime.Failed, op, "the attempt before has not exited")
	}
	for _, wanted := range spec.Containers {
		if wanted.Name == container {
			c.spec = wanted
		}
	}
	return h.launch(now, pod, c, attempt)
}

// launch orders an attempt; it is running StartDelay later.
func (h *Host) launch(now time.Duration, pod *simPod, c *simContainer, attempt int) error {
	program, err := h.cfg.Program(pod.spec, c.spec, attempt)
	if err != nil {
		h.counts.Refused++
		c.message = err.Error()
		return err
	}
	h.nextID++
	_, _, env := c.spec.Resolve(pod.ip)
	before := c.status()
	last := before.Ended()
	*c = simContainer{
		spec:     c.spec,
		attempt:  attempt,
		id:       fmt.Sprintf("%s:%d", h.cfg.Node, h.nextID),
		state:    runtime.Created,
		program:  program,
		startAt:  now + h.cfg.StartDelay + program.StartDelay,
		exitAt:   Never,
		killAt:   Never,
		env:      env,
		previous: c.lines,
		last:     last,
	}
	h.advance(now)
	return nil
}

// UpdateFiles gives a pod the files of spec.
func (h *Host) UpdateFiles(now time.Duration, spec runtime.Spec) error {
	h.advance(now)
	if h.pods[spec.ID] == nil {
		return h.refused(runtime.NotFound, "write the files of pod "+spec.Name, "no such pod")
	}
	h.pods[spec.ID].spec.Volumes = spec.Volumes
	return nil
}

// Files are the volumes of a pod as they are; nil if it is not there.
func (h *Host) Files(id runtime.RunID) []runtime.Volume {
	if pod := h.pods[id]; pod != nil {
		return pod.spec.Volumes
	}
	return nil
}

// Stop is StopPod: it begins now, and the pod is gone once Statuses no longer
// lists it.
func (h *Host) Stop(now time.Duration, id runtime.RunID, grace time.Duration) error {
	h.advance(now)
	if err := h.refuse(now, OpStop, id, ""); err != nil {
		return err
	}
	pod := h.pods[id]
	if pod == nil {
		return nil
	}
	first := !pod.stopping
	if first {
		pod.stopping, pod.stopAt = true, now
	}
	for _, c := range pod.containers {
		switch c.state {
		case runtime.Created:
			c.startAt = Never
		case runtime.Running:
			h.terminate(c, now, grace, first)
		}
	}
	h.advance(now)
	return nil
}

// StopContainer begins to end one attempt; it is over once Statuses says so.
func (h *Host) StopContainer(now time.Duration, id runtime.RunID, container string, attempt int, grace time.Duration) error {
	h.advance(now)
	if err := h.refuse(now, OpStop, id, container); err != nil {
		return err
	}
	if _, c := h.find(id, container); c != nil && c.attempt == attempt && c.state == runtime.Running {
		h.terminate(c, now, grace, true)
	}
	h.advance(now)
	return nil
}

func (h *Host) terminate(c *simContainer, now, grace time.Duration, first bool) {
	if first && !c.program.IgnoreTerm {
		if end := now + c.program.TermDelay; end < c.exitAt {
			c.exitAt, c.exitCode = end, c.program.TermCode
		}
		for _, l := range c.program.TermOutput {
			c.lines = append(c.lines, simLine{now + l.After, interpolate(l.Text, c.env)})
		}
	}
	c.killAt = min(c.killAt, now+grace)
}

// Statuses returns the truth about every pod in the order of their IDs, also
// while the runtime is down.
func (h *Host) Statuses(now time.Duration) []runtime.Status {
	h.advance(now)
	out := make([]runtime.Status, 0, len(h.pods))
	for _, id := range slices.Sorted(maps.Keys(h.pods)) {
		out = append(out, h.pods[id].status())
	}
	return out
}

// Pods is what the runtime answers: Statuses, or Unavailable while down.
func (h *Host) Pods(now time.Duration) ([]runtime.Status, error) {
	if h.down {
		return nil, h.refused(runtime.Unavailable, "list pods", "the runtime does not answer")
	}
	return h.Statuses(now), nil
}

// Usage is what the containers that run use, in the order of Statuses.
func (h *Host) Usage(now time.Duration) ([]runtime.PodUsage, error) {
	h.advance(now)
	if h.down {
		return nil, h.refused(runtime.Unavailable, "measure pods", "the runtime does not answer")
	}
	var out []runtime.PodUsage
	for _, id := range slices.Sorted(maps.Keys(h.pods)) {
		u := runtime.PodUsage{ID: id}
		for _, c := range h.pods[id].containers {
			if c.state == runtime.Running {
				u.Containers = append(u.Containers, runtime.ContainerUsage{
					Name: c.spec.Name, Attempt: c.attempt, CPU: int64(now-c.startAt) / 1000 * c.program.CPU, Memory: c.program.Memory,
				})
			}
		}
		if len(u.Containers) > 0 {
			out = append(out, u)
		}
	}
	return out, nil
}

// Next returns the instant of the next change that no call brings about, or
// Never.
func (h *Host) Next(now time.Duration) time.Duration {
	h.advance(now)
	next := Never
	for _, pod := range h.pods {
		for _, c := range pod.containers {
			switch c.state {
			case runtime.Created:
				next = min(next, c.startAt)
			case runtime.Running:
				next = min(next, c.exitAt, c.killAt)
			}
		}
		next = min(next, h.goneAt(pod))
	}
	return next
}

// advance lets everything happen that is due by now. Containers do not act on
// each other, so their order does not matter.
func (h *Host) advance(now time.Duration) {
	for id, pod := range h.pods {
		for _, c := range pod.containers {
			if c.state == runtime.Created && c.startAt <= now {
				c.run()
				h.counts.Started++
				h.starts[Start{id, c.spec.Name, c.attempt}]++
			}
			if c.state == runtime.Running && min(c.exitAt, c.killAt) <= now {
				c.end()
				h.counts.Exited++
			}
		}
		if h.goneAt(pod) <= now {
			delete(h.pods, id)
			h.counts.Removed++
		}
	}
}

// run makes a Created container Running at its startAt.
func (c *simContainer) run() {
	c.state = runtime.Running
	if c.program.RunFor != Never {
		c.exitAt = c.startAt + c.program.RunFor
		c.exitCode, c.oom = c.program.ExitCode, c.program.OOMKilled
	}
	for _, l := range c.program.Output {
		c.lines = append(c.lines, simLine{c.startAt + l.After, interpolate(l.Text, c.env)})
	}
}

// end makes a Running container Exited at the earlier of exitAt and killAt.
func (c *simContainer) end() {
	c.state = runtime.Exited
	if c.killAt < c.exitAt {
		c.exitAt, c.exitCode, c.oom = c.killAt, 137, false
	}
}

// goneAt is when a stopping pod whose containers have ended is removed.
func (h *Host) goneAt(pod *simPod) time.Duration {
	if !pod.stopping {
		return Never
	}
	last := pod.stopAt
	for _, c := range pod.containers {
		switch c.state {
		case runtime.Running:
			return Never
		case runtime.Exited:
			last = max(last, c.exitAt)
		}
	}
	return last + h.cfg.RemoveDelay
}

func (p *simPod) status() runtime.Status {
	s := runtime.Status{
		ID: p.spec.ID, Namespace: p.spec.Namespace, Name: p.spec.Name, UID: p.spec.UID, Slot: p.spec.Slot, CreatedAt: p.spec.CreatedAt, IP: p.ip, Requests: p.spec.Requests, Claims: runtime.ClaimsOf(p.spec.Volumes),
	}
	for _, c := range p.containers {
		s.Containers = append(s.Containers, c.status())
	}
	return s
}

func (c *simContainer) status() runtime.ContainerStatus {
	s := runtime.ContainerStatus{
		Name: c.spec.Name, ID: c.id, Image: c.spec.Image, State: c.state, Attempt: c.attempt, Message: c.message, Last: c.last,
	}
	if c.state != runtime.Created {
		s.StartedAt = time.Unix(0, int64(c.startAt)).UTC()
	}
	if c.state == runtime.Exited {
		s.FinishedAt = time.Unix(0, int64(c.exitAt)).UTC()
		s.ExitCode, s.OOMKilled = c.exitCode, c.oom
	}
	return s
}
