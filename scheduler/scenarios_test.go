package scheduler_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"holon/crdt/state"
	"holon/scheduler"
)

// TestScenarios tells stories in testdata/*.txt; `go test -rewrite` writes what
// comes out into them. Commands, each with "key=value" fields:
//
//	nodes                     declares nodes, a line each: NAME cpu= memory= pods= zone= taint=K=V:EFFECT health= cordoned ports
//	change                    changes nodes: the same lines, unnamed fields stay
//	workload NAME replicas=   declares or changes one: cpu= memory= port= zone= node= tolerate=KEY no-stand-in
//	refuse SLOT NODE REASON   and its opposite, allow SLOT NODE
//	place [minority]          plans all workloads by name, prints it, and carries it out
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &story{slots: map[string][]state.Slot{}, refusals: map[refusal]string{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if err := s.do(d); err != nil {
				d.Fatalf(t, "%v", err)
			}
			return s.said()
		})
	})
}

type story struct {
	nodes     []scheduler.Node
	workloads []*state.Workload
	slots     map[string][]state.Slot
	refusals  map[refusal]string
	out       strings.Builder
}

func (s *story) said() string {
	defer s.out.Reset()
	return s.out.String()
}

func (s *story) do(d *datadriven.TestData) error {
	var fields []string
	for _, a := range d.CmdArgs {
		fields = append(fields, a.String())
	}
	switch d.Cmd {
	case "nodes", "change":
		for line := range strings.Lines(d.Input) {
			if err := s.node(strings.Fields(line)); err != nil {
				return fmt.Errorf("%s: %w", strings.TrimSpace(line), err)
			}
		}
		return nil
	case "workload":
		return s.workload(fields)
	case "refuse", "allow":
		return s.refuse(fields)
	case "place":
		s.place(!d.HasArg("minority"))
		return nil
	}
	return fmt.Errorf("unknown command %q", d.Cmd)
}

func (s *story) node(fields []string) error {
	i := slices.IndexFunc(s.nodes, func(n scheduler.Node) bool { return n.Name == fields[0] })
	if i < 0 {
		i = len(s.nodes)
		s.nodes = append(s.nodes, scheduler.Node{Name: fields[0], Labels: map[string]string{}, Allocatable: state.Resources{CPU: 4000, Memory: 8 << 30, Pods: 110}})
	}
	n := &s.nodes[i]
	for _, f := range fields[1:] {
		key, value, _ := strings.Cut(f, "=")
		var err error
		switch key {
		case "cpu":
			n.Allocatable.CPU, err = amount(value, resource.Milli)
		case "memory":
			n.Allocatable.Memory, err = amount(value, 0)
		case "pods":
			n.Allocatable.Pods, err = amount(value, 0)
		case "zone":
			n.Labels[key] = value
		case "taint":
			n.Taints = append(n.Taints, taint(value))
		case "health":
			n.Health, err = healthOf(value)
		case "cordoned":
			n.Unschedulable = value != "no"
		case "ports":
			n.HostPortsOnly = true
		default:
			err = fmt.Errorf("unknown field %q", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func amount(text string, scale resource.Scale) (int64, error) {
	q, err := resource.ParseQuantity(text)
	return q.ScaledValue(scale), err
}

func taint(text string) corev1.Taint {
	pair, effect, _ := strings.Cut(text, ":")
	key, value, _ := strings.Cut(pair, "=")
	return corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)}
}

func healthOf(text string) (scheduler.Health, error) {
	for h := scheduler.Serving; h <= scheduler.Gone; h++ {
		if strings.ReplaceAll(h.String(), " ", "-") == text {
			return h, nil
		}
	}
	return 0, fmt.Errorf("unknown health %q", text)
}

func (s *story) workload(fields []string) error {
	name := fields[0]
	w := &state.Workload{Name: name, UID: state.DerivedUID("scenario", name), Replicas: 1, Policy: state.Policy{StandIn: true}, Template: &corev1.PodTemplateSpec{}}
	w.Template.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{}}}}
	spec, c := &w.Template.Spec, &w.Template.Spec.Containers[0]
	for _, f := range fields[1:] {
		key, value, _ := strings.Cut(f, "=")
		var err error
		switch key {
		case "replicas":
			w.Replicas, err = strconv.Atoi(value)
		case "cpu", "memory":
			c.Resources.Requests[corev1.ResourceName(key)], err = resource.ParseQuantity(value)
		case "port":
			var port int
			port, err = strconv.Atoi(value)
			c.Ports = []corev1.ContainerPort{{ContainerPort: int32(port), HostPort: int32(port)}}
		case "zone":
			spec.NodeSelector = map[string]string{key: value}
		case "node":
			spec.NodeName = value
		case "tolerate":
			spec.Tolerations = []corev1.Toleration{{Key: value, Operator: corev1.TolerationOpExists}}
		case "no-stand-in":
			w.StandIn = false
		default:
			err = fmt.Errorf("unknown field %q", key)
		}
		if err != nil {
			return err
		}
	}
	s.workloads = append(slices.DeleteFunc(s.workloads, func(o *state.Workload) bool { return o.Name == name }), w)
	slices.SortFunc(s.workloads, func(a, b *state.Workload) int { return strings.Compare(a.Name, b.Name) })
	slots := s.slots[name]
	for i := len(slots); i < w.Replicas; i++ {
		slots = append(slots, state.Slot{ID: state.SlotID{Workload: w.UID, Index: i}})
	}
	s.slots[name] = slots[:w.Replicas]
	return nil
}

func (s *story) refuse(fields []string) error {
	name, index, _ := strings.Cut(fields[0], "/")
	i, err := strconv.Atoi(index)
	if err != nil {
		return err
	}
	r := refusal{state.SlotID{Workload: state.DerivedUID("scenario", name), Index: i}, fields[1]}
	delete(s.refusals, r)
	if len(fields) > 2 {
		s.refusals[r] = fields[2]
	}
	return nil
}

func (s *story) place(majority bool) {
	v := &scheduler.View{Majority: majority, Refused: func(slot state.SlotID, node string) (string, bool) {
		reason, ok := s.refusals[refusal{slot, node}]
		return reason, ok
	}}
	for _, n := range s.nodes {
		v.Nodes = append(v.Nodes, &n)
	}
	for _, w := range s.workloads {
		for i := range s.slots[w.Name] {
			v.Occupy(w, v.Assigned(w, &s.slots[w.Name][i]))
		}
	}
	for _, w := range s.workloads {
		s.tell(w, scheduler.Place(v, w, s.slots[w.Name]))
	}
}

// tell prints a plan, a line per slot, and carries it out.
func (s *story) tell(w *state.Workload, plan scheduler.Plan) {
	decided := map[int]string{}
	for _, d := range plan.Decisions {
		slot := &s.slots[w.Name][d.Slot.Index]
		if d.Home != nil {
			slot.Home = *d.Home
			decided[d.Slot.Index] = fmt.Sprintf("home %s@%d", d.Home.Node, d.Home.Term)
		} else {
			slot.StandIn = *d.StandIn
			decided[d.Slot.Index] = fmt.Sprintf("stand-in %s@%d", d.StandIn.Node, d.StandIn.Basis)
		}
	}
	for _, r := range plan.Reasons {
		what := decided[r.Slot.Index]
		switch {
		case r.Pending:
			what = "pending"
		case what == "":
			what = "-"
		}
		fmt.Fprintf(&s.out, "%s/%d\t%s\t%s\n", w.Name, r.Slot.Index, what, r.Text)
	}
}
