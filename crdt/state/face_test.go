package state

import (
	stdjson "encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/json"

	"holon/crdt"
)

const webObject = `{
	"metadata": {"generation": 2, "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"app": "web"}, "finalizers": ["f"]},
	"spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {
		"metadata": {"labels": {"app": "web"}, "annotations": {"note": "n"}},
		"spec": {"containers": [{"name": "c", "image": "web:1", "resources": {"requests": {"cpu": "250m"}}, "ports": [{"containerPort": 80}]}]}}}
}`

func webWorkload(t testing.TB) *Workload {
	t.Helper()
	w, err := DecodeWorkload(MakeKey(Deployments, "default", "web"), (&writer{replica: crdt.ReplicaID{1}}).stored(t, crdt.UID{7}, webObject))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// podCases show every way a pod may look, with what kubectl makes of it.
func podCases(t testing.TB) map[string]struct {
	face          PodFace
	ready, status string
} {
	w := webWorkload(t)
	slot := SlotID{Workload: w.UID, Index: 2}
	const started, later = "2026-01-02T03:04:06Z", "2026-01-02T03:04:07Z"
	face := func(status *RunStatus, more func(*PodFace)) PodFace {
		run := MakeRunID(slot, w.Revision, "n1", 0)
		p := PodFace{
			Workload: w, Slot: slot, Run: run, Revision: w.Revision, Name: PodName(ReplicaSetName(w, w.Revision), run), UID: PodUID(slot, run).String(),
			Node: "n1", HostIP: "127.77.1.1", Status: status, Template: w.Template, Labels: map[string]string{"mine": "yes"},
		}
		if status != nil {
			status.Slot, status.Run, status.Revision = slot, run, w.Revision
		}
		if more != nil {
			more(&p)
		}
		return p
	}
	running := func() *RunStatus {
		return &RunStatus{Phase: Running, Ready: true, IP: "127.77.1.9", Started: started, Containers: []ContainerStatus{
			{Name: "c", ID: "f00", Image: "web:1", State: "running", Ready: true, Started: started, Restarts: 1},
		}}
	}
	ended := func(state, reason string, phase Phase, code int) *RunStatus {
		return &RunStatus{Phase: phase, Started: started, Containers: []ContainerStatus{
			{Name: "c", ID: "f00", Image: "web:1", State: state, Reason: reason, Message: "why", ExitCode: code, Started: started, Finished: later, Restarts: 4},
		}}
	}
	again := func(s *RunStatus) *RunStatus {
		s.Containers[0].Last = Termination{ExitCode: 137, Reason: "OOMKilled", Message: "words", Started: started, Finished: later, ID: "e99"}
		return s
	}
	return map[string]struct {
		face          PodFace
		ready, status string
	}{
		"unplaced":    {face(nil, func(p *PodFace) { p.Node, p.HostIP, p.Why = "", "", "0/3 nodes are available: 3 Insufficient cpu." }), "0/1", "Pending"},
		"pending":     {face(nil, nil), "0/1", "Pending"},
		"creating":    {face(&RunStatus{Phase: Pending, Containers: []ContainerStatus{{Name: "c", Image: "web:1", State: "waiting", Reason: "ContainerCreating"}}}, nil), "0/1", "ContainerCreating"},
		"running":     {face(running(), nil), "1/1", "Running"},
		"lost":        {face(running(), func(p *PodFace) { p.NodeLost = true }), "0/1", "NodeUnreachable"},
		"crashloop":   {face(again(ended("waiting", "CrashLoopBackOff", Running, 1)), nil), "0/1", "CrashLoopBackOff"},
		"restarted":   {face(again(running()), nil), "1/1", "Running"},
		"succeeded":   {face(ended("terminated", "Completed", Succeeded, 0), nil), "0/1", "Completed"},
		"failed":      {face(ended("terminated", "Error", Failed, 1), nil), "0/1", "Error"},
		"oom":         {face(ended("terminated", "OOMKilled", Running, 137), nil), "0/1", "OOMKilled"},
		"refused":     {face(&RunStatus{Phase: Pending, Refused: "OutOfcpu"}, nil), "0/1", "OutOfcpu"},
		"terminating": {face(func() *RunStatus { s := running(); s.Stopping, s.Ready = true, false; return s }(), nil), "1/1", "Terminating"},
	}
}

func TestPodFaces(t *testing.T) {
	for name, c := range podCases(t) {
		value, err := c.face.Value()
		if err != nil {
			t.Fatal(err)
		}
		pod := strict(t, value).(*corev1.Pod)
		if ready, status := kubectlPod(pod); ready != c.ready || status != c.status {
			t.Errorf("%s: kubectl get pods shows READY %s STATUS %s, want %s %s", name, ready, status, c.ready, c.status)
		}
		if len(pod.OwnerReferences) != 1 || pod.OwnerReferences[0].Kind != "ReplicaSet" || pod.Labels[TemplateHashLabel] != c.face.Revision || pod.Labels["mine"] != "yes" {
			t.Errorf("%s: %+v %+v", name, pod.OwnerReferences, pod.Labels)
		}
		golden(t, "faces/pod-"+name+".json", indented(t, value))
	}
}

// TestPodFaceOfInits: an unready sidecar makes a pod unready, and what holds up the others
// is said by name.
func TestPodFaceOfInits(t *testing.T) {
	w, always := webWorkload(t), corev1.ContainerRestartPolicyAlways
	w.Template.Spec.InitContainers = []corev1.Container{{Name: "i"}, {Name: "s", RestartPolicy: &always}, {Name: "j"}}
	done := ContainerStatus{Name: "i", State: "terminated", Reason: "Completed", Ready: true}
	sidecar := ContainerStatus{Name: "s", State: "running"}
	slow := ContainerStatus{Name: "s", State: "running", Starting: true}
	runs := ContainerStatus{Name: "j", State: "running", Starting: true}
	waits := ContainerStatus{Name: "j", State: "waiting", Reason: "PodInitializing"}
	over := ContainerStatus{Name: "j", State: "terminated", Reason: "Completed", Ready: true}
	for _, c := range []struct {
		inits                []ContainerStatus
		initializing         bool
		initialized, unready string
	}{
		{[]ContainerStatus{done, slow, waits}, true, "containers with incomplete status: [s j]", "containers with unready status: [s c]"},
		{[]ContainerStatus{done, sidecar, runs}, true, "containers with incomplete status: [j]", "containers with unready status: [s c]"},
		{[]ContainerStatus{done, sidecar, over}, false, "", "containers with unready status: [s c]"},
	} {
		s := &RunStatus{Phase: Pending, Init: c.inits, Initializing: c.initializing, Containers: []ContainerStatus{{Name: "c", State: "waiting", Reason: "PodInitializing"}}}
		p := PodFace{Workload: w, Slot: SlotID{Workload: w.UID}, Run: "r", Name: "p", Node: "n1", Status: s, Template: w.Template}
		value, err := p.Value()
		if err != nil {
			t.Fatal(err)
		}
		pod := strict(t, value).(*corev1.Pod)
		said := map[corev1.PodConditionType]string{}
		for _, condition := range pod.Status.Conditions {
			said[condition.Type] = string(condition.Status) + condition.Message
		}
		if said["Initialized"] != map[bool]string{true: "False" + c.initialized, false: "True"}[c.initializing] || said["Ready"] != "False"+c.unready {
			t.Errorf("%+v: it says %v", c, said)
		}
		list := pod.Status.InitContainerStatuses
		if len(list) != 3 || !list[0].Ready || *list[0].Started || *list[1].Started != !c.inits[1].Starting || *list[2].Started {
			t.Errorf("%+v: they are %+v", c, list)
		}
	}
}

// kubectlPod is what kubectl prints of a pod: printPod of Kubernetes'
// pkg/printers/internalversion, without init containers and restarts.
func kubectlPod(pod *corev1.Pod) (ready, status string) {
	status = string(pod.Status.Phase)
	if pod.Status.Reason != "" {
		status = pod.Status.Reason
	}
	count, running := 0, false
	for i := len(pod.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := pod.Status.ContainerStatuses[i]
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			status = c.State.Waiting.Reason
		case c.State.Terminated != nil && c.State.Terminated.Reason != "":
			status = c.State.Terminated.Reason
		case c.State.Terminated != nil:
			status = fmt.Sprintf("ExitCode:%d", c.State.Terminated.ExitCode)
		case c.Ready && c.State.Running != nil:
			count, running = count+1, true
		}
	}
	if status == "Completed" && running {
		status = "Running"
	}
	if pod.DeletionTimestamp != nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
		status = "Terminating"
	}
	return fmt.Sprintf("%d/%d", count, len(pod.Spec.Containers)), status
}

func TestBareAndStrayPods(t *testing.T) {
	w, err := DecodeWorkload(MakeKey(Pods, "default", "p"), (&writer{replica: crdt.ReplicaID{1}}).stored(t, crdt.UID{8}, `{"spec":{"containers":[{"name":"c","image":"i"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	bare := PodFace{Workload: w, Slot: SlotID{Workload: w.UID}, Run: "r", Name: "p", UID: w.UID.String(), Template: w.Template, Why: "not planned yet"}
	value, err := bare.Value()
	if err != nil {
		t.Fatal(err)
	}
	if pod := strict(t, value).(*corev1.Pod); len(pod.OwnerReferences) != 0 || pod.GenerateName != "" || pod.Status.QOSClass != corev1.PodQOSBestEffort {
		t.Errorf("a bare pod: %+v", pod)
	}
	golden(t, "faces/pod-bare.json", indented(t, value))
	stray := StrayFace("n1", &fullStatus().Runs[0], true)
	if pod := strict(t, stray).(*corev1.Pod); pod.DeletionTimestamp == nil || len(pod.Spec.Containers) != 1 || pod.Name != "web-c53b4e53d2-abcde" {
		t.Errorf("a stray pod: %+v", pod)
	}
	golden(t, "faces/pod-stray.json", indented(t, stray))
}

func TestWorkloadFaces(t *testing.T) {
	w := webWorkload(t)
	for name, c := range map[string]struct {
		rollout     Rollout
		available   corev1.ConditionStatus
		progressing string
	}{
		"new":     {Rollout{Counts: Counts{Wanted: 3}}, "False", "ReplicaSetUpdated"},
		"rolling": {Rollout{Counts: Counts{Wanted: 3, Placed: 3, Updated: 1, Ready: 3, Available: 3}, Number: 2}, "True", "ReplicaSetUpdated"},
		"done":    {Rollout{Counts: Counts{Wanted: 3, Placed: 3, Updated: 3, Ready: 3, Available: 3}, Stalled: true}, "True", "NewReplicaSetAvailable"},
		"short":   {Rollout{Counts: Counts{Wanted: 3, Placed: 3, Updated: 3, Ready: 2, Available: 2}}, "False", "ReplicaSetUpdated"},
		"warming": {Rollout{Counts: Counts{Wanted: 3, Placed: 3, Updated: 3, Ready: 3, Available: 2}}, "False", "ReplicaSetUpdated"},
		"stalled": {Rollout{Counts: Counts{Wanted: 3, Placed: 3, Updated: 1, Ready: 3, Available: 3}, Stalled: true}, "True", "ProgressDeadlineExceeded"},
	} {
		value := DeploymentFace(w, c.rollout)
		d := strict(t, value).(*appsv1.Deployment)
		if d.Status.Conditions[0].Status != c.available || d.Status.Conditions[1].Reason != c.progressing || d.Status.ObservedGeneration != 2 {
			t.Errorf("%s: %+v", name, d.Status)
		}
		golden(t, "faces/deployment-"+name+".json", indented(t, value))
	}
	w.Recreate, w.MaxUnavailable = true, 3
	if d := strict(t, DeploymentFace(w, Rollout{Counts: Counts{Wanted: 3}})).(*appsv1.Deployment); d.Status.Conditions[0].Status != "False" {
		t.Error("a Recreate deployment without a replica is available")
	}
	value, err := ReplicaSetFace(w, &Revision{Hash: w.Revision, Number: 4, Template: w.Template, Cause: "new image"}, Counts{Wanted: 3, Placed: 3, Ready: 1, Available: 1})
	if err != nil {
		t.Fatal(err)
	}
	rs := strict(t, value).(*appsv1.ReplicaSet)
	for key, want := range rs.Spec.Selector.MatchLabels {
		if rs.Spec.Template.Labels[key] != want {
			t.Errorf("the ReplicaSet's template lacks %s=%s of its selector", key, want)
		}
	}
	golden(t, "faces/replicaset.json", indented(t, value))
}

func TestNodeFaces(t *testing.T) {
	stored := Node{Name: "n1", UID: crdt.UID{9}, Object: map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"zone": "a"}, "annotations": map[string]any{"note": "n"}},
		"spec":     map[string]any{"unschedulable": true, "taints": []any{map[string]any{"key": "gpu", "effect": "NoSchedule"}}},
	}}
	labels := map[string]string{"zone": "a", "kubernetes.io/hostname": "n1"}
	for name, c := range map[string]struct {
		view  NodeView
		ready corev1.ConditionStatus
	}{
		"ready":       {NodeView{Node: stored, Status: fullStatus(), Live: true, Peer: "12D3", Labels: labels}, "True"},
		"unreachable": {NodeView{Node: stored, Status: fullStatus(), Peer: "12D3", Labels: labels, Unreachable: "the node is unreachable"}, "Unknown"},
		"unknown":     {NodeView{Node: Node{Name: "n1"}, Live: true}, "Unknown"},
	} {
		value := NodeFace(c.view)
		n := strict(t, value).(*corev1.Node)
		if len(n.Status.Conditions) != 1 || n.Status.Conditions[0].Type != "Ready" || n.Status.Conditions[0].Status != c.ready {
			t.Errorf("%s: %+v", name, n.Status.Conditions)
		}
		unreachable := strings.Contains(fmt.Sprint(n.Spec.Taints), corev1.TaintNodeUnreachable)
		if unreachable == c.view.Live {
			t.Errorf("%s: taints %+v", name, n.Spec.Taints)
		}
		golden(t, "faces/node-"+name+".json", indented(t, value))
	}
}

// TestANodeUnderPressure has the taints of what it says, and says nothing out of reach.
func TestANodeUnderPressure(t *testing.T) {
	s := fullStatus()
	s.Conditions = append([]Condition{{Type: "MemoryPressure", True: true}, {Type: "DiskPressure"}}, s.Conditions...)
	says := func(live bool) (conditions, taints string) {
		n := strict(t, NodeFace(NodeView{Node: Node{Name: "n1"}, Status: s, Live: live})).(*corev1.Node)
		for _, c := range n.Status.Conditions {
			conditions += fmt.Sprintf("%s=%s ", c.Type, c.Status)
		}
		for _, taint := range n.Spec.Taints {
			taints += taint.ToString() + " "
		}
		return conditions, taints
	}
	if conditions, taints := says(true); conditions != "MemoryPressure=True DiskPressure=False Ready=True " || taints != "node.kubernetes.io/memory-pressure:NoSchedule " {
		t.Errorf("in reach: %s, %s", conditions, taints)
	}
	if conditions, _ := says(false); conditions != "MemoryPressure=Unknown DiskPressure=Unknown Ready=Unknown " {
		t.Errorf("out of reach: %s", conditions)
	}
}

// TestAnEvictedPodStaysEvicted, also when another object takes its place (holon compact).
func TestAnEvictedPodStaysEvicted(t *testing.T) {
	w := &writer{replica: crdt.ReplicaID{1}}
	key := MakeKey(Pods, "default", "p")
	rec := w.stored(t, crdt.UID{8}, `{"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	rec, err := rec.Set(crdt.UID{8}, w.next(), map[string][]byte{PodEvicted: EncodeRegister("it was too much"), PodEnded: EncodeRegister(Failed)})
	if err != nil {
		t.Fatal(err)
	}
	values, err := Compacted(key, rec.Live(), w.replica)
	if err != nil {
		t.Fatal(err)
	}
	next, err := (*crdt.Record)(nil).Set(crdt.UID{9}, w.next(), values)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range []*crdt.Record{rec, next} {
		pod, err := DecodeWorkload(key, rec)
		if err != nil || !pod.Stops || pod.Counts(0) || pod.Ended != Failed || pod.Evicted != "it was too much" {
			t.Errorf("%+v, error %v", pod, err)
		}
	}
}

// Whatever a node of another version or a liar says, the object can be decoded,
// or one pod would take every list away from every client.
func TestFacesOfNonsense(t *testing.T) {
	s := fullStatus()
	run := &s.Runs[0]
	run.Started, run.Phase, run.Containers[0].State = "yesterday", "Sleeping", "hovering"
	run.Containers[0].Started, run.Containers[0].Restarts, run.Containers[0].ExitCode = "", 1<<40, -1<<40
	pod := strict(t, StrayFace("n1", run, false)).(*corev1.Pod)
	if pod.DeletionTimestamp == nil || pod.Status.ContainerStatuses[0].State.Waiting == nil {
		t.Errorf("%+v", pod)
	}
	run.Containers[0].State, run.Containers[0].Finished = "terminated", "2026-13-01"
	strict(t, StrayFace("n1", run, false))
	w := webWorkload(t)
	w.Created = ""
	p := PodFace{Workload: w, Template: w.Template}
	value, err := p.Value()
	if err != nil {
		t.Fatal(err)
	}
	strict(t, value)
	rs, err := ReplicaSetFace(w, &Revision{Hash: "r", Number: 1, Created: "soon", Template: w.Template}, Counts{})
	if err != nil {
		t.Fatal(err)
	}
	strict(t, rs)
}

// A face shares nothing that can change with what it was made from, nor two of
// its parts with each other: scribbling over one changes nothing else.
func TestFacesShareNothing(t *testing.T) {
	w := webWorkload(t)
	node := NodeView{Node: Node{Name: "n1", Object: webWorkload(t).Object}, Status: fullStatus(), Labels: map[string]string{"a": "b"}}
	makers := map[string]func() map[string]any{
		"deployment": func() map[string]any { return DeploymentFace(w, Rollout{Counts: Counts{Wanted: 3}}) },
		"replicaset": func() map[string]any {
			v, _ := ReplicaSetFace(w, &Revision{Hash: "r", Number: 1, Template: w.Template}, Counts{})
			return v
		},
		"node":  func() map[string]any { return NodeFace(node) },
		"stray": func() map[string]any { return StrayFace("n1", &node.Status.Runs[0], false) },
	}
	for name, c := range podCases(t) {
		makers["pod "+name] = func() map[string]any { v, _ := c.face.Value(); return v }
	}
	for name, make := range makers {
		first := make()
		before := indented(t, first)
		scribble(first)
		if after := indented(t, make()); string(after) != string(before) {
			t.Errorf("%s: scribbling over one face changed the next one:\n%s", name, after)
		}
		if where := aliased(make()); where != "" {
			t.Errorf("%s: two parts share %s", name, where)
		}
	}
}

func scribble(value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, child := range v {
			scribble(child)
		}
		v["scribbled"] = true
	case []any:
		for i := range v {
			scribble(v[i])
			v[i] = "scribbled"
		}
	}
}

func aliased(root map[string]any) (where string) {
	seen := map[uintptr]string{}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		if m, ok := value.(map[string]any); ok {
			p := reflect.ValueOf(m).Pointer()
			if other, ok := seen[p]; ok {
				where = other + " and " + path
			}
			seen[p] = path
			for k, child := range m {
				walk(path+"/"+k, child)
			}
		}
		if l, ok := value.([]any); ok {
			for i, child := range l {
				walk(fmt.Sprint(path, "/", i), child)
			}
		}
	}
	walk("", root)
	return where
}

// strict decodes a face as the API's own servers do, with unknown and doubled
// fields as errors, and back without loss of what it says.
func strict(t testing.TB, value map[string]any) kruntime.Object {
	t.Helper()
	into := map[any]kruntime.Object{
		"Pod": &corev1.Pod{}, "Node": &corev1.Node{}, "Deployment": &appsv1.Deployment{}, "ReplicaSet": &appsv1.ReplicaSet{},
	}[value["kind"]]
	text, err := stdjson.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	odd, err := json.UnmarshalStrict(text, into)
	if err != nil || len(odd) > 0 {
		t.Fatalf("%v %v in\n%s", odd, err, text)
	}
	return into
}

func indented(t testing.TB, value any) []byte {
	t.Helper()
	text, err := stdjson.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}
