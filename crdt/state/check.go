package state

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"holon/crdt"
)

// Severity tells when a finding is a fault.
type Severity uint8

const (
	// Broken must never be seen, on no node at no time: somebody wrote what
	// nobody may write, or a merge went wrong.
	Broken Severity = iota
	// Unsettled may be seen while records or deeds are on their way, and must be
	// gone once every node has everything and nothing is left to do.
	Unsettled
)

func (s Severity) String() string { return [...]string{"broken", "unsettled"}[s] }

// Finding is one thing that is wrong with a cluster document.
type Finding struct {
	Rule     string // which invariant, as in Rules
	Severity Severity
	Key      Key
	Text     string
}

func (f Finding) String() string {
	return fmt.Sprintf("%s: %s: %s: %s", f.Severity, f.Rule, f.Key, f.Text)
}

// Check judges a whole cluster document by what every correct writer keeps to,
// however often it was merged, and says all that is wrong, sorted. It shares
// nothing with those who write but the decoders. (The manner is that of
// blippy, which judges the plans of Oxide's omicron.)
//
// It takes any node's records: all of them, since half of the rules compare
// records with each other.
func Check(doc map[Key]*crdt.Record) []Finding {
	c := checker{doc: doc}
	c.gather()
	for _, r := range checks {
		c.rule = r.name
		r.check(&c)
	}
	slices.SortFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Text, b.Text))
	})
	return c.findings
}

// Rules names every invariant that Check knows.
func Rules() []string {
	names := make([]string, len(checks))
	for i := range checks {
		names[i] = checks[i].name
	}
	return names
}

// checks is the table of all rules; what each forbids is written at its function.
var checks = []struct {
	name  string
	check func(*checker)
}{
	{"key", (*checker).checkKeys},
	{"dot", (*checker).checkDots},
	{"write order", (*checker).checkOrder},
	{"rank", (*checker).checkRanks},
	{"generation", (*checker).checkGenerations},
	{"death", (*checker).checkDeaths},
	{"decodes", (*checker).checkDecodes},
	{"slot identity", (*checker).checkSlotIdentity},
	{"slot owner", (*checker).checkSlotOwners},
	{"home", (*checker).checkHomes},
	{"stand-in", (*checker).checkStandIns},
	{"run", (*checker).checkRuns},
	{"slot nodes", (*checker).checkSlotNodes},
	{"revision", (*checker).checkRevisions},
	{"owner", (*checker).checkOwners},
	{"member", (*checker).checkMembers},
	{"node", (*checker).checkNodes},
	{"pod meta", (*checker).checkPodMeta},
	{"sealed", (*checker).checkSealed},
	{"claim", (*checker).checkClaims},
}

// checker holds a document, decoded as far as it can be.
type checker struct {
	doc      map[Key]*crdt.Record
	keys     []Key // of all records, sorted
	rule     string
	findings []Finding

	errors    map[Key]error // of what did not decode
	slots     map[Key]Slot
	workloads map[crdt.UID]*Workload
	known     map[crdt.UID]bool // workloads, dead ones and losers of a name included
	crons     map[crdt.UID]bool // live ones
	members   map[Key]Member
	names     map[string]bool // of members
	revisions map[Key]bool    // live ones
}

func (c *checker) find(s Severity, key Key, format string, args ...any) {
	c.findings = append(c.findings, Finding{Rule: c.rule, Severity: s, Key: key, Text: fmt.Sprintf(format, args...)})
}

// of yields the keys of one resource, sorted.
func (c *checker) of(resource string) []Key {
	var keys []Key
	for _, key := range c.keys {
		if key.Resource() == resource {
			keys = append(keys, key)
		}
	}
	return keys
}

func (c *checker) gather() {
	c.errors, c.slots, c.workloads, c.known = map[Key]error{}, map[Key]Slot{}, map[crdt.UID]*Workload{}, map[crdt.UID]bool{}
	c.crons = map[crdt.UID]bool{}
	c.members, c.names, c.revisions = map[Key]Member{}, map[string]bool{}, map[Key]bool{}
	for key, rec := range c.doc {
		if rec != nil {
			c.keys = append(c.keys, key)
		}
	}
	slices.Sort(c.keys)
	for _, key := range c.keys {
		if err := c.decode(key, c.doc[key]); err != nil {
			c.errors[key] = err
		}
	}
}

func (c *checker) decode(key Key, rec *crdt.Record) error {
	switch key.Resource() {
	case Slots:
		s, ok, err := DecodeSlot(key, rec)
		if ok {
			c.slots[key] = s
		}
		return err
	case Deployments, Pods, StatefulSets, DaemonSets, Jobs:
		for uid := range rec.Objects {
			c.known[uid] = true
		}
		w, err := DecodeWorkload(key, rec)
		if w != nil {
			c.workloads[w.UID] = w
		}
		return err
	case CronJobs:
		cron, err := DecodeCronJob(key, rec)
		if cron != nil {
			c.crons[cron.UID] = true
		}
		return err
	case Members:
		m, ok, err := DecodeMember(key, rec)
		if ok {
			c.members[key], c.names[m.Name] = m, true
		}
		return err
	case Nodes:
		_, _, err := DecodeNode(key, rec)
		return err
	case PriorityClasses:
		_, _, err := DecodePriorityClass(key, rec)
		return err
	case Claims:
		_, err := DecodeClaim(key, rec)
		return err
	case Budgets:
		_, err := DecodeBudget(key, rec)
		return err
	case Snapshots:
		_, err := DecodeSnapshot(key, rec)
		return err
	case Services:
		_, err := DecodeService(key, rec)
		return err
	case Revisions:
		c.revisions[key] = rec.Live() != nil
		return nil
	}
	_, _, err := DecodeObject(rec)
	return err
}

// sortedObjects lists the objects of a record by UID.
func sortedObjects(rec *crdt.Record) []*crdt.Object {
	return slices.SortedFunc(maps.Values(rec.Objects), func(a, b *crdt.Object) int { return a.UID.Compare(b.UID) })
}

func sortedPaths(o *crdt.Object) []string { return slices.Sorted(maps.Keys(o.Registers)) }
