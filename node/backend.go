package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
	"holon/runtime"
)

var (
	errNotDurable = api.ErrNotDurable
	errBusy       = errors.New("this node has too many requests waiting for its disk; try again, or ask another node")
)

var _ api.Backend = (*Node)(nil)

// Mutate performs one write of the API.
func (n *Node) Mutate(ctx context.Context, m api.Mutation) (api.Object, error) {
	op, err := n.mutation(m)
	if errors.Is(err, api.ErrSealed) {
		return api.Object{}, err
	}
	if err != nil {
		return api.Object{}, fmt.Errorf("%w: %v", api.ErrInvalid, err)
	}
	before, _ := n.cfg.Cache.Get(m.Key)
	ack, err := n.ask(ctx, op)
	if err != nil {
		return api.Object{}, apiError(err)
	}
	if m.New == nil {
		return before, nil
	}
	after, ok := n.cfg.Cache.Get(m.Key)
	if !ok { // deleted again meanwhile
		after = api.Object{Key: m.Key, Source: api.Decoded(m.New)}
		if m.Resource == state.Secrets { // whose readers expect it sealed
			value, err := state.Build(op.New)
			if err != nil {
				return api.Object{}, err
			}
			after.Source = api.Decoded(state.WithMeta(op.Key, ack.UID.String(), value))
		}
	}
	return after, nil
}

// mutation translates a write of the API into registers.
func (n *Node) mutation(m api.Mutation) (core.Mutate, error) {
	op := core.Mutate{Key: state.MakeKey(m.Resource, m.Namespace, m.Name), Create: m.Old == nil && m.UID == "", Delete: m.New == nil, Cascade: m.Cascade, Token: m.Token}
	var err error
	if m.UID != "" {
		if op.UID, err = crdt.ParseUID(m.UID); err != nil {
			return op, err
		}
	}
	if op.Create {
		if op.NewUID, err = newUID(); err != nil {
			return op, err
		}
	}
	if op.Create {
		m.New = withCreation(m.New)
	}
	if op.Old, err = registers(m.Resource, m.Old); err != nil {
		return op, err
	}
	if op.New, err = registers(m.Resource, m.New); err != nil {
		return op, err
	}
	if err := n.sealMutation(&op); err != nil {
		return op, err
	}
	if m.Resource == state.Pods && m.UID != "" && n.derivedPod(m.Key) {
		return podMetaMutation(op, m)
	}
	return op, nil
}

// withCreation stamps a new object with this node's wall clock, for display.
func withCreation(object map[string]any) map[string]any {
	out := copyOf(object)
	meta, _ := out["metadata"].(map[string]any)
	meta = copyOf(meta)
	meta["creationTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	out["metadata"] = meta
	return out
}

func (n *Node) derivedPod(k api.Key) bool {
	pod, ok := n.cfg.Cache.Get(k)
	if !ok {
		return false
	}
	meta, _ := pod.Value()["metadata"].(map[string]any)
	_, owned := meta["ownerReferences"]
	return owned
}

// podMetaMutation keeps labels and annotations written on a derived pod in a
// small record of their own.
func podMetaMutation(op core.Mutate, m api.Mutation) (core.Mutate, error) {
	if m.New == nil {
		return op, errors.New("a derived pod is deleted by DeletePod")
	}
	uid := op.UID
	op.Key = state.MakeKey(state.PodMeta, m.Namespace, m.UID)
	op.Token = 0
	op.UID, op.NewUID = crdt.UID{}, state.DerivedUID("podmeta", uid.String())
	for _, side := range []*map[string][]byte{&op.Old, &op.New} {
		kept := map[string][]byte{}
		for path, value := range *side {
			for _, field := range []string{"labels", "annotations"} {
				if rest, ok := strings.CutPrefix(path, "/metadata/"+field); ok {
					kept["/"+field+rest] = value
				}
			}
		}
		*side = kept
	}
	op.Upsert = true
	return op, nil
}

// registers strips an object of what is not stored: what its key and record say,
// and what is derived.
func registers(resource string, object map[string]any) (map[string][]byte, error) {
	if object == nil {
		return nil, nil
	}
	stored := copyOf(object)
	delete(stored, "apiVersion")
	delete(stored, "kind")
	delete(stored, "status")
	if meta, ok := object["metadata"].(map[string]any); ok {
		meta = copyOf(meta)
		for _, field := range []string{"name", "namespace", "uid", "resourceVersion", "generation", "selfLink"} {
			delete(meta, field)
		}
		stored["metadata"] = meta
		if len(meta) == 0 {
			delete(stored, "metadata")
		}
	}
	if len(stored) == 0 {
		return map[string][]byte{}, nil
	}
	return state.FlattenAs(resource, stored)
}

func newUID() (crdt.UID, error) {
	var u crdt.UID
	if _, err := rand.Read(u[:]); err != nil {
		return u, err
	}
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80 // version 4, RFC 9562
	return u, nil
}

// apiError gives the API's word for what the core says.
func apiError(err error) error {
	if text, ok := strings.CutPrefix(fmt.Sprint(err), core.ErrInvalid.Error()+": "); ok && errors.Is(err, core.ErrInvalid) {
		return fmt.Errorf("%w: %s", api.ErrInvalid, text)
	}
	for from, to := range map[error]error{
		core.ErrNotFound: api.ErrNotFound, core.ErrExists: api.ErrExists, core.ErrConflict: api.ErrConflict,
		crdt.ErrTooLarge: api.ErrInvalid, crdt.ErrDead: api.ErrNotFound,
	} {
		if errors.Is(err, from) {
			return fmt.Errorf("%w: %v", to, err)
		}
	}
	return err
}

// DeletePod gives the slot behind a derived pod a new run.
func (n *Node) DeletePod(ctx context.Context, namespace, name string) error {
	pod, err := n.pod(namespace, name)
	if err != nil {
		return err
	}
	slot, err := state.ParseSlotID(pod.slot)
	if err != nil {
		return err
	}
	_, err = n.ask(ctx, core.DeletePod{Slot: slot})
	return apiError(err)
}

// placed is where a pod runs.
type placed struct {
	namespace, name string
	node, run, slot string
	containers      []string
	inits           []string // containers that only who names them means
}

// request begins that of a session with one of its containers.
func (p placed) request(container string, who api.Actor) sessionRequest {
	return sessionRequest{Run: runtime.RunID(p.run), Namespace: p.namespace, Pod: p.name, Container: container, Actor: who}
}

func (n *Node) pod(namespace, name string) (placed, error) {
	pod, ok := n.cfg.Cache.Get(api.Key{Resource: state.Pods, Namespace: namespace, Name: name})
	if !ok {
		return placed{}, fmt.Errorf("%w: pod %s/%s", api.ErrNotFound, namespace, name)
	}
	value := pod.Value()
	meta, _ := value["metadata"].(map[string]any)
	notes, _ := meta["annotations"].(map[string]any)
	spec, _ := value["spec"].(map[string]any)
	p := placed{namespace: namespace, name: name}
	p.node, _ = spec["nodeName"].(string)
	p.run, _ = notes["holon.dev/run"].(string)
	p.slot, _ = notes["holon.dev/slot"].(string)
	p.containers, p.inits = namesIn(spec["containers"]), namesIn(spec["initContainers"])
	return p, nil
}

func namesIn(containers any) (names []string) {
	for _, c := range list(containers) {
		name, _ := c["name"].(string)
		names = append(names, name)
	}
	return names
}

// container picks the container that a request means.
func (p placed) container(name string) (string, error) {
	switch {
	case p.node == "":
		return "", fmt.Errorf("%w: the pod is not placed on a node yet", api.ErrInvalid)
	case name == "" && len(p.containers) == 1:
		return p.containers[0], nil
	case name == "":
		return "", fmt.Errorf("%w: a container name must be specified, choose one of: %v", api.ErrInvalid, p.containers)
	case !slices.Contains(p.containers, name) && !slices.Contains(p.inits, name):
		return "", fmt.Errorf("%w: container %s is not valid for this pod, choose one of: %v", api.ErrInvalid, name, append(slices.Clone(p.containers), p.inits...))
	}
	return name, nil
}

// Logs streams a container's log from the node that runs the pod.
func (n *Node) Logs(ctx context.Context, namespace, pod string, opts api.LogOptions, w io.Writer) error {
	p, err := n.pod(namespace, pod)
	if err != nil {
		return err
	}
	container, err := p.container(opts.Container)
	if err != nil {
		return err
	}
	req := p.request(container, opts.Actor)
	req.Logs = &runtime.LogOptions{
		Follow: opts.Follow, Previous: opts.Previous, Timestamps: opts.Timestamps, Tail: opts.Tail, Since: opts.Since,
	}
	_, err = n.session(ctx, p.node, req, api.Stream{Stdout: w})
	return err
}

// Exec runs a command in a container on the node that runs the pod. Both this
// node and that one log who asked, but not the command: it may hold secrets.
func (n *Node) Exec(ctx context.Context, namespace, pod, container string, command []string, s api.Stream) (int, error) {
	p, err := n.pod(namespace, pod)
	if err != nil {
		return 0, err
	}
	if container, err = p.container(container); err != nil {
		return 0, err
	}
	n.log.Info("exec asked for", "pod", namespace+"/"+pod, "container", container, "run", p.run, "owner", p.node, "user", s.Actor.User)
	req := p.request(container, s.Actor)
	req.Command, req.TTY, req.Stdin = command, s.TTY, s.Stdin != nil
	return n.session(ctx, p.node, req, s)
}

// Attach connects to the streams of a container on the node that runs the pod.
func (n *Node) Attach(ctx context.Context, namespace, pod, container string, s api.Stream) error {
	p, err := n.pod(namespace, pod)
	if err != nil {
		return err
	}
	if container, err = p.container(container); err != nil {
		return err
	}
	n.log.Info("attach asked for", "pod", namespace+"/"+pod, "container", container, "run", p.run, "owner", p.node, "user", s.Actor.User)
	req := p.request(container, s.Actor)
	req.Attach, req.TTY, req.Stdin = true, s.TTY, s.Stdin != nil
	_, err = n.session(ctx, p.node, req, s)
	return err
}

// PortForward carries a connection to a port of a pod, on the node that runs it.
func (n *Node) PortForward(ctx context.Context, namespace, pod string, port int, s api.Stream) error {
	p, err := n.pod(namespace, pod)
	if err != nil {
		return err
	}
	n.log.Info("port-forward asked for", "pod", namespace+"/"+pod, "port", port, "run", p.run, "owner", p.node, "user", s.Actor.User)
	req := p.request("", s.Actor)
	req.Port, req.Stdin = port, true
	_, err = n.session(ctx, p.node, req, s)
	return err
}

// peerOf finds the peer that bears a name, and how long it has been in its state.
func (n *Node) peerOf(name string) (p2p.PeerID, time.Duration) {
	for _, m := range n.view.Load().Members {
		if m.Name == name {
			return m.Peer, (n.now() - m.Since).Round(time.Second)
		}
	}
	return "", 0
}

// nameOf is the name that a peer bears.
func (n *Node) nameOf(peer p2p.PeerID) string {
	for _, m := range n.view.Load().Members {
		if m.Peer == peer {
			return m.Name
		}
	}
	return string(peer)
}

// Events asks every reachable node for its ring.
func (n *Node) Events(ctx context.Context, namespace string) (events []map[string]any, missing []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	events = n.ring.list(n.now(), namespace)
	missing = n.askOthers(func(m core.MemberView) (func(), error) {
		theirs, err := askPeer[[]map[string]any](ctx, n, m.Peer, eventsProtocol, namespace)
		return func() { events = append(events, theirs...) }, err
	})
	slices.SortStableFunc(events, func(a, b map[string]any) int {
		return strings.Compare(fmt.Sprint(a["lastTimestamp"]), fmt.Sprint(b["lastTimestamp"]))
	})
	return mergeEvents(events), missing, nil
}
