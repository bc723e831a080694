package state

import (
	"bytes"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt"
)

// The registers of a revision record, as node/core writes them.
const (
	RevisionTemplate   = "/template"
	RevisionNumber     = "/number"
	RevisionCreated    = "/created"
	RevisionCause      = "/cause"      // what the user says of it, absent: nothing
	RevisionOwner      = "/owner"      // as SlotOwner
	RevisionOwnerBirth = "/ownerBirth" // as SlotOwnerBirth
)

// ParseRevisionName reads the name of a revision record: <workload UID>-<hash>.
func ParseRevisionName(name string) (workload crdt.UID, hash string, err error) {
	const uidLen = 36
	if len(name) <= uidLen+1 || name[uidLen] != '-' {
		return crdt.UID{}, "", fmt.Errorf("revision %q is not <workload UID>-<hash>", name)
	}
	workload, err = crdt.ParseUID(name[:uidLen])
	return workload, name[uidLen+1:], err
}

// checkRevisions: a stored template is the one whose hash it is filed under, in
// every object that it was stored as; its workload may be on its way, or be gone
// with the burial on the way.
func (c *checker) checkRevisions() {
	for _, key := range c.of(Revisions) {
		_, _, name := key.Split()
		workload, hash, err := ParseRevisionName(name)
		if err != nil {
			c.find(Broken, key, "%v", err)
			continue
		}
		live := false
		for _, o := range sortedObjects(c.doc[key]) {
			if o.Dead == nil {
				live = true
				c.checkTemplate(key, o, hash)
			}
		}
		if live && c.workloads[workload] == nil {
			c.find(Unsettled, key, "its workload %s is not here", workload)
		}
	}
}

func (c *checker) checkTemplate(key Key, o *crdt.Object, hash string) {
	var template *corev1.PodTemplateSpec
	var number int64
	errTemplate := json.Unmarshal(o.Registers[RevisionTemplate].Value, &template)
	errNumber := json.Unmarshal(o.Registers[RevisionNumber].Value, &number)
	switch {
	case errTemplate != nil || template == nil:
		c.find(Broken, key, "object %s holds no pod template: %v", o.UID, errTemplate)
	case RevisionHash(template) != hash:
		c.find(Broken, key, "object %s holds the template of revision %s", o.UID, RevisionHash(template))
	case errNumber != nil || number < 1:
		c.find(Broken, key, "object %s has the number %s", o.UID, o.Registers[RevisionNumber].Value)
	}
}

// checkMembers: a peer has one object for ever, never deleted, with one name and
// a certificate; what says that it has left is not outdone by what says that it
// has not.
func (c *checker) checkMembers() {
	for _, key := range c.of(Members) {
		_, _, peer := key.Split()
		for _, o := range sortedObjects(c.doc[key]) {
			if o.UID != MemberUID(peer) {
				c.find(Broken, key, "its object is %s, not %s", o.UID, MemberUID(peer))
			}
			if o.Dead != nil {
				c.find(Broken, key, "a member is deleted; it can only leave")
			}
			for _, s := range o.Registers[MemberName].Siblings {
				c.find(Broken, key, "it has two names, %s and %s", o.Registers[MemberName].Value, s.Value)
			}
			for _, s := range o.Registers[MemberLeft].Siblings {
				if bytes.Equal(s.Value, []byte("true")) {
					c.find(Broken, key, "it has left, and a concurrent write hides that")
				}
			}
		}
		if m, ok := c.members[key]; ok && (m.Name == "" || len(m.Chain) == 0) {
			c.find(Broken, key, "member %q has a certificate chain of %d bytes", m.Name, len(m.Chain))
		}
	}
}

// checkNodes: a node object belongs to a member, whose record may be on its way.
func (c *checker) checkNodes() {
	for _, key := range c.of(Nodes) {
		if _, _, name := key.Split(); c.doc[key].Live() != nil && !c.names[name] {
			c.find(Unsettled, key, "no member bears this name")
		}
	}
}

// checkPodMeta: what users wrote on a pod is filed under the pod's UID.
func (c *checker) checkPodMeta() {
	for _, key := range c.of(PodMeta) {
		if _, _, name := key.Split(); c.doc[key].Live() != nil {
			if _, err := crdt.ParseUID(name); err != nil {
				c.find(Broken, key, "%v", err)
			}
		}
	}
}
