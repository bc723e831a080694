package core

import (
	"maps"
	"slices"

	"holon/crdt"
	"holon/crdt/state"
)

// budget is a PodDisruptionBudget and how its pods are, kept by workload, so that a
// change of one costs no look at the others. It is up to date when derive is through.
type budget struct {
	*state.Budget
	parts map[crdt.UID]state.BudgetCounts // of the workloads that it selects
	sum   state.BudgetCounts
}

// madeBudget is what the face of a budget was made of.
type madeBudget struct {
	token uint64
	sum   state.BudgetCounts
}

func (x *index) reindexBudget(key state.Key, rec *crdt.Record) error {
	b, err := state.DecodeBudget(key, rec)
	if err != nil {
		return err
	}
	_, namespace, name := key.Split()
	if dropPart(x.budgets, namespace, name); b != nil {
		setPart(x.budgets, namespace, name, &budget{Budget: b})
	}
	return nil
}

// deriveBudgets counts the workloads that have changed for the budgets of their
// namespaces, and all of a namespace for a budget that is new, and shows what differs.
func (c *Core) deriveBudgets(due map[crdt.UID]bool) {
	changed := map[state.Key]bool{}
	for uid := range due {
		c.weighFor(uid, changed)
	}
	for key := range c.index.keys {
		if key.Resource() == state.Budgets {
			changed[key] = true
		}
	}
	for _, key := range sortedKeys(changed) {
		c.deriveBudget(key)
	}
}

// weighFor counts one workload anew in the budgets of its namespace, or takes it out of
// all budgets that count it.
func (c *Core) weighFor(uid crdt.UID, changed map[state.Key]bool) {
	w := c.index.workloads[uid]
	for namespace, budgets := range c.index.budgets {
		if w != nil && w.Namespace != namespace {
			continue
		}
		for _, b := range budgets {
			if b.parts != nil && b.weigh(uid, w, c) {
				changed[b.Key] = true
			}
		}
	}
}

// weigh reports whether what is counted of a workload has changed.
func (b *budget) weigh(uid crdt.UID, w *state.Workload, c *Core) bool {
	before, counted := b.parts[uid]
	delete(b.parts, uid)
	var now state.BudgetCounts
	if w != nil && b.Selects(w) {
		now = c.healthOf(w)
		b.parts[uid] = now
	}
	b.sum = b.sum.Minus(before).Plus(now)
	_, counts := b.parts[uid]
	return before != now || counted != counts
}

// healthOf counts the slots of a workload as budgets do.
func (c *Core) healthOf(w *state.Workload) (n state.BudgetCounts) {
	served := c.served(w.UID)
	for _, s := range c.wanted(w) {
		n.Expected++
		if s.Home.Node == "" || !served[s.ID] {
			continue
		}
		n.Healthy++
		if !c.readyOn(&s, c.assigned(&s)) {
			n.Moving++
		}
	}
	return n
}

// served are the slots of a workload of which some live node has a ready run, wherever
// they belong now.
func (c *Core) served(uid crdt.UID) map[state.SlotID]bool {
	slots := map[state.SlotID]bool{}
	for node, runs := range c.status.runs[uid] {
		for _, r := range runs {
			if r.Ready && !r.Stopping && c.ready(node, r.Run) {
				slots[r.Slot] = true
			}
		}
	}
	return slots
}

func (c *Core) deriveBudget(key state.Key) {
	_, namespace, name := key.Split()
	b := c.index.budgets[namespace][name]
	if b == nil {
		if _, shown := c.derived.made[key]; shown {
			c.takeBack(key)
		}
		return
	}
	if b.parts == nil {
		b.count(c)
	}
	token := c.store.entries[key].token
	if !c.derived.shownAs(key, madeBudget{token, b.sum}) {
		c.publish(key, state.BudgetFace(b.Budget, b.sum), token)
	}
}

// count adds up all workloads.
func (b *budget) count(c *Core) {
	b.parts, b.sum = map[crdt.UID]state.BudgetCounts{}, state.BudgetCounts{}
	for uid, w := range c.index.workloads { // sums: their order does not matter
		b.weigh(uid, w, c)
	}
}

// budgetsOf lists the budgets that count a workload, by name.
func (c *Core) budgetsOf(w *state.Workload) (list []*budget) {
	of := c.index.budgets[w.Namespace]
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if b := of[name]; b.Selects(w) {
			list = append(list, b)
		}
	}
	return list
}

// auditBudgets compares what budgets keep with a count of everything.
func (c *Core) auditBudgets(say sayer) {
	if c.derived.dirty || len(c.index.keys) > 0 {
		return
	}
	for _, budgets := range c.index.budgets {
		for _, b := range budgets {
			fresh := budget{Budget: b.Budget}
			if fresh.count(c); fresh.sum != b.sum || !maps.Equal(fresh.parts, b.parts) {
				say("%s counts %+v, kept is %+v", b.Key, fresh.sum, b.sum)
			}
		}
	}
}
