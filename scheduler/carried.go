package scheduler

import "holon/crdt/state"

// carried is a term of pods that are booked, which says something about others. It
// is there while a booked workload has it, in the place where all whom it is about
// are filed.
type carried struct {
	term podTerm
	on   map[int]int // pods that have it, by position of the node
}

// carry notes the terms of a crowd.
func (t *tallies) carry(c *crowd, terms []podTerm) {
	for _, term := range terms {
		text, places := term.text(), term.selector.places()
		y := t.carried[places[0]][text]
		if y == nil {
			y = &carried{term: term, on: map[int]int{}}
			for _, place := range places {
				if t.carried[place] == nil {
					t.carried[place] = map[string]*carried{}
				}
				t.carried[place][text] = y
			}
		}
		c.carries = append(c.carries, y)
	}
}

// drop forgets the terms of a crowd of which nothing is left.
func (t *tallies) drop(c *crowd) {
	for _, y := range c.carries {
		if len(y.on) > 0 {
			continue
		}
		for _, place := range y.term.selector.places() {
			if delete(t.carried[place], y.term.text()); len(t.carried[place]) == 0 {
				delete(t.carried, place)
			}
		}
	}
}

// about gives the terms of booked pods that are about a workload, by their text.
func (t *tallies) about(w *state.Workload) map[string]*carried {
	found := map[string]*carried{}
	for _, place := range places(w) {
		for text, y := range t.carried[place] {
			if y.term.selector.selects(w) {
				found[text] = y
			}
		}
	}
	return found
}
