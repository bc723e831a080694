package scheduler

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"holon/crdt"
	"holon/crdt/state"
)

// tallies count the booked pods that selectors select, by node. A selector is
// counted from the first time a workload that has it asks for a node; after that
// Occupy and Release keep the count, so that no plan goes through the pods.
//
//   - a crowd is there for each workload of which something is booked
//   - a crowd is filed under its namespace and under each of its labels, a tally in
//     the place where all that it selects is filed
//   - a crowd knows the tallies that count it, and the terms that it carries
type tallies struct {
	crowds map[crdt.UID]*crowd
	filed  map[string]map[*crowd]bool
	of     map[string]*tally // by the text of its selector
	asked  map[string][]*tally

	carried map[string]map[string]*carried // by place and text
}

// maxTallies bounds how many selectors are counted; the next one starts anew.
const maxTallies = 8192

// crowd is what is booked of one workload, by position of the node in the view.
type crowd struct {
	workload *state.Workload
	on       map[int]int
	size     int
	tallies  []*tally
	carries  []*carried
}

type tally struct {
	selector selector
	on       map[int]int
}

func newTallies() tallies {
	return tallies{
		crowds: map[crdt.UID]*crowd{}, filed: map[string]map[*crowd]bool{},
		of: map[string]*tally{}, asked: map[string][]*tally{}, carried: map[string]map[string]*carried{},
	}
}

// book counts so many pods of a workload on a node, or takes them away.
func (t *tallies) book(d *demand, node, pods int) {
	w := d.workload
	c := t.crowds[w.UID]
	if c == nil {
		c = &crowd{workload: w, on: map[int]int{}}
		t.crowds[w.UID] = c
		t.file(c)
		t.carry(c, d.pods.carried())
	}
	c.size += pods
	add(c.on, node, pods)
	for _, y := range c.tallies {
		add(y.on, node, pods)
	}
	for _, y := range c.carries {
		add(y.on, node, pods)
	}
	if c.size == 0 {
		delete(t.crowds, w.UID)
		t.unfile(c)
		t.drop(c)
	}
}

func add(on map[int]int, node, pods int) {
	if on[node] += pods; on[node] == 0 {
		delete(on, node)
	}
}

func (t *tallies) file(c *crowd) {
	for _, place := range places(c.workload) {
		if t.filed[place] == nil {
			t.filed[place] = map[*crowd]bool{}
		}
		t.filed[place][c] = true
		for _, y := range t.asked[place] {
			if y.selector.selects(c.workload) {
				c.tallies = append(c.tallies, y)
			}
		}
	}
}

func (t *tallies) unfile(c *crowd) {
	for _, place := range places(c.workload) {
		if delete(t.filed[place], c); len(t.filed[place]) == 0 {
			delete(t.filed, place)
		}
	}
}

// count gives the tally of a selector.
func (t *tallies) count(s selector) *tally {
	if y := t.of[s.text]; y != nil {
		return y
	}
	y := &tally{selector: s, on: map[int]int{}}
	t.of[s.text] = y
	for _, place := range s.places() {
		t.asked[place] = append(t.asked[place], y)
		for c := range t.filed[place] {
			if !s.selects(c.workload) {
				continue
			}
			c.tallies = append(c.tallies, y)
			for node, pods := range c.on {
				y.on[node] += pods
			}
		}
	}
	return y
}

// forgetMany drops all counts once there are too many. No plan may be under way.
func (t *tallies) forgetMany() {
	if len(t.of) < maxTallies {
		return
	}
	t.of, t.asked = map[string]*tally{}, map[string][]*tally{}
	for _, c := range t.crowds {
		c.tallies = nil
	}
}

// selector selects pods by namespace and labels; several clauses must all hold.
type selector struct {
	clauses []clause
	text    string // equal for selectors that are equal
}

type clause struct {
	namespaces []string
	labels     labels.Selector
}

// selectorOf selects pods in some namespaces. What cannot be understood selects
// none.
func selectorOf(namespaces []string, s *metav1.LabelSelector) selector {
	by, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		by = labels.Nothing()
	}
	return selector{}.and(selector{clauses: []clause{{namespaces, by}}})
}

// and selects what both select.
func (s selector) and(o selector) selector {
	for _, c := range o.clauses {
		s.clauses = append(s.clauses, c)
		kind := "by"
		if _, some := c.labels.Requirements(); !some {
			kind = "none" // whose text is that of a selector of everything
		}
		s.text += strings.Join(c.namespaces, ",") + "/" + kind + " " + c.labels.String() + ";"
	}
	return s
}

func (s *selector) selects(w *state.Workload) bool {
	for i := range s.clauses {
		if !s.clauses[i].selects(w) {
			return false
		}
	}
	return true
}

func (c *clause) selects(w *state.Workload) bool {
	for _, namespace := range c.namespaces {
		if namespace == w.Namespace {
			return c.labels.Matches(labels.Set(w.Template.Labels))
		}
	}
	return false
}

func requires(o selection.Operator) bool {
	return o == selection.In || o == selection.Equals || o == selection.DoubleEquals
}

// places are where a workload is filed; no two are equal.
func places(w *state.Workload) []string {
	list := []string{w.Namespace}
	for key, value := range w.Template.Labels {
		list = append(list, w.Namespace+"/"+key+"="+value)
	}
	return list
}

// places are where all that a selector selects is filed, each once: under a label
// that it has to have, or else under its namespace.
func (s *selector) places() (list []string) {
	first := &s.clauses[0]
	label := ""
	requirements, _ := first.labels.Requirements()
	for i := range requirements {
		if values := requirements[i].ValuesUnsorted(); len(values) == 1 && requires(requirements[i].Operator()) {
			label = "/" + requirements[i].Key() + "=" + values[0]
			break
		}
	}
	seen := map[string]bool{}
	for _, namespace := range first.namespaces {
		if !seen[namespace] {
			seen[namespace] = true
			list = append(list, namespace+label)
		}
	}
	return list
}
