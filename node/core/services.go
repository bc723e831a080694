package core

import (
	"maps"
	"net/netip"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
)

// services are the Services of this view, by namespace and name, and who has which
// address. Addresses are this node's affair: nothing but its own names lead to them.
type services struct {
	byName  map[string]map[string]*service
	holders map[netip.Addr]state.Key
	changed map[state.Key]bool // since the last time that they were shown
}

// service is a Service and the pods behind it, kept by workload, so that a change of one
// costs no look at the others. It is up to date when derive is through.
type service struct {
	*state.Service
	address netip.Addr
	parts   map[crdt.UID][]state.Endpoint // of the workloads that it selects; nil: not looked yet
	shown   map[state.Key]bool            // its EndpointSlices
}

// madeService is what the face of a Service was made of.
type madeService struct {
	token   uint64
	address netip.Addr
}

func newServices() services {
	return services{byName: map[string]map[string]*service{}, holders: map[netip.Addr]state.Key{}, changed: map[state.Key]bool{}}
}

func (x *index) reindexService(key state.Key, rec *crdt.Record) error {
	s, err := state.DecodeService(key, rec)
	if err != nil {
		return err
	}
	x.services.put(key, s)
	return nil
}

// put takes over a Service; nil if it is gone.
func (x *services) put(key state.Key, s *state.Service) {
	_, namespace, name := key.Split()
	before := x.byName[namespace][name]
	if x.changed[key] = true; s == nil && before == nil {
		return
	}
	next := &service{Service: s}
	if before != nil {
		next.shown = before.shown
		delete(x.holders, before.address)
	}
	if s == nil {
		next.Service = nil // its slices are still to be taken back
	} else if s.WantsAddress() {
		next.address = x.choose(s)
	}
	setPart(x.byName, namespace, name, next)
}

// choose finds a free address, none if AddressesTried are taken.
func (x *services) choose(s *state.Service) netip.Addr {
	for n := range state.AddressesTried {
		a := s.Address(n)
		if holder, taken := x.holders[a]; !taken || holder == s.Key {
			x.holders[a] = s.Key
			return a
		}
	}
	return netip.Addr{}
}

// serve takes over which pods of a workload, as they are shown, are behind Services; w is
// nil if it is gone.
func (c *Core) serve(uid crdt.UID, w *state.Workload, pods []state.PodFace) {
	x := &c.index.services
	for namespace, of := range x.byName {
		if w != nil && w.Namespace != namespace {
			continue
		}
		for _, s := range of {
			if s.parts != nil && s.weigh(uid, pods) {
				x.changed[s.Key] = true
			}
		}
	}
}

// weigh reports whether what is behind the Service of a workload has changed.
func (s *service) weigh(uid crdt.UID, pods []state.PodFace) bool {
	var now []state.Endpoint
	for i := range pods {
		if e, is := s.Endpoint(&pods[i]); is {
			now = append(now, e)
		}
	}
	before := s.parts[uid]
	if s.parts[uid] = now; len(now) == 0 {
		delete(s.parts, uid)
	}
	return !sameEndpoints(before, now)
}

func sameEndpoints(a, b []state.Endpoint) bool {
	return slices.EqualFunc(a, b, func(a, b state.Endpoint) bool { return a.Equal(&b) })
}

// deriveServices shows what differs, after the workloads were derived.
func (c *Core) deriveServices() {
	for _, key := range sortedKeys(c.index.services.changed) {
		c.deriveService(key)
	}
	clear(c.index.services.changed)
}

func (c *Core) deriveService(key state.Key) {
	_, namespace, name := key.Split()
	s := c.index.services.byName[namespace][name]
	if s == nil {
		return
	}
	made := map[state.Key]map[string]any{}
	if s.Service == nil {
		dropPart(c.index.services.byName, namespace, name)
		c.takeBack(key)
	} else {
		if s.parts == nil {
			c.lookBehind(s)
		}
		token := c.store.entries[key].token
		if !c.derived.shownAs(key, madeService{token, s.address}) {
			c.publish(key, state.ServiceFace(s.Service, s.address), token)
		}
		made = s.EndpointSlices(s.endpoints())
	}
	for _, slice := range sortedKeys(s.shown) {
		if made[slice] == nil {
			c.takeBack(slice)
		}
	}
	s.shown = map[state.Key]bool{}
	for _, slice := range sortedKeys(made) {
		s.shown[slice] = true
		c.publish(slice, made[slice], 0)
	}
}

// lookBehind asks all workloads of the namespace.
func (c *Core) lookBehind(s *service) {
	s.parts = map[crdt.UID][]state.Endpoint{}
	for _, uid := range sortedUIDs(c.index.workloads) {
		if w := c.index.workloads[uid]; w.Namespace == s.namespace() {
			s.weigh(uid, c.podFaces(w, c.runsOf(uid)))
		}
	}
}

func (s *service) namespace() string {
	_, namespace, _ := s.Key.Split()
	return namespace
}

func (s *service) endpoints() (all []state.Endpoint) {
	for _, uid := range sortedUIDs(s.parts) {
		all = append(all, s.parts[uid]...)
	}
	return all
}

// auditServices compares what Services keep with a look at everything.
func (c *Core) auditServices(say sayer) {
	x := &c.index.services
	if c.derived.dirty || len(c.index.keys) > 0 {
		return
	}
	holders := map[netip.Addr]state.Key{}
	for _, of := range x.byName {
		for _, s := range of {
			if s.address.IsValid() {
				holders[s.address] = s.Key
			}
			fresh := service{Service: s.Service}
			c.lookBehind(&fresh)
			if !maps.EqualFunc(fresh.parts, s.parts, sameEndpoints) {
				say("behind %s are %v, kept is %v", s.Key, fresh.parts, s.parts)
			}
		}
	}
	if !maps.Equal(holders, x.holders) {
		say("addresses are held by %v, kept is %v", holders, x.holders)
	}
}
