package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// runAnnotation names the run that a Pod is the face of.
const runAnnotation = "holon.dev/run"

// Kinds that are measured when somebody looks, by the nodes that use what there is:
// nothing of it is kept, and who does not answer is left out.
var (
	nodeMetricsKind = &kind{
		GroupVersionKind: metricsKind("NodeMetrics"), plural: "nodes", verbs: gatheredVerbs, gather: (*Server).measure,
		make:    func() runtime.Object { return &metricsv1beta1.NodeMetrics{} },
		columns: metricsColumns,
		row: row(func(m *metricsv1beta1.NodeMetrics) []any {
			return []any{m.Name, m.Usage.Cpu().String(), m.Usage.Memory().String(), m.Window.Duration.String()}
		}),
	}
	podMetricsKind = &kind{
		GroupVersionKind: metricsKind("PodMetrics"), plural: "pods", namespaced: true, verbs: gatheredVerbs, gather: (*Server).measure,
		make:    func() runtime.Object { return &metricsv1beta1.PodMetrics{} },
		columns: metricsColumns,
		row: row(func(m *metricsv1beta1.PodMetrics) []any {
			var cpu, memory resource.Quantity
			for _, c := range m.Containers {
				cpu.Add(*c.Usage.Cpu())
				memory.Add(*c.Usage.Memory())
			}
			return []any{m.Name, cpu.String(), memory.String(), m.Window.Duration.String()}
		}),
	}
)

var metricsColumns = []metav1.TableColumnDefinition{nameColumn, column("CPU"), column("Memory"), column("Window")}

func metricsKind(kind string) schema.GroupVersionKind {
	return metricsv1beta1.SchemeGroupVersion.WithKind(kind)
}

// measure asks the nodes that a target is about, and warns about those that did not
// answer.
func (s *Server) measure(w http.ResponseWriter, r *http.Request, t *target) ([]Object, error) {
	ofPods := t.kind.namespaced
	query := UsageQuery{Pods: ofPods}
	if t.name != "" {
		about, ok := s.config.Cache.Get(Key{Resource: t.kind.plural, Namespace: t.namespace, Name: t.name})
		query.Node = t.name
		if ok && ofPods {
			query.Node = nodeOfPod(about)
		}
		if !ok || query.Node == "" {
			return nil, nil
		}
	}
	usage, missing, err := s.config.Backend.Usage(r.Context(), query)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		warningsTo(w).add("no answer from %s: what is used there is not known", strings.Join(missing, ", "))
	}
	find := s.nodeMetrics(t.kind)
	if ofPods {
		find = s.podMetrics(t.kind, t.namespace)
	}
	var objects []Object
	for _, u := range usage {
		found, err := find(u)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	slices.SortFunc(objects, func(a, b Object) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return objects, nil
}

func nodeOfPod(pod Object) string {
	spec, _ := pod.Value()["spec"].(map[string]any)
	node, _ := spec["nodeName"].(string)
	return node
}

func (s *Server) nodeMetrics(k *kind) func(NodeUsage) ([]Object, error) {
	return func(u NodeUsage) ([]Object, error) {
		node, ok := s.config.Cache.Get(Key{Resource: Nodes, Name: u.Node})
		if !ok {
			return nil, nil // it has just left
		}
		o, err := measured(node, k, &metricsv1beta1.NodeMetrics{
			Timestamp: metav1.NewTime(u.End), Window: window(u), Usage: u.resources(),
		})
		return []Object{o}, err
	}
}

// podMetrics finds the pods of a namespace, or of all, by their runs. A run whose pod
// is not here (yet) is left out.
func (s *Server) podMetrics(k *kind, namespace string) func(NodeUsage) ([]Object, error) {
	pods := map[string]Object{}
	all, _ := s.config.Cache.List(Pods, namespace)
	for _, p := range all {
		meta, _ := p.Value()["metadata"].(map[string]any)
		notes, _ := meta["annotations"].(map[string]any)
		if run, ok := notes[runAnnotation].(string); ok {
			pods[run] = p
		}
	}
	return func(u NodeUsage) (objects []Object, err error) {
		for _, r := range u.Runs {
			pod, ok := pods[r.Run]
			if !ok {
				continue
			}
			m := &metricsv1beta1.PodMetrics{Timestamp: metav1.NewTime(u.End), Window: window(u)}
			for _, c := range r.Containers {
				m.Containers = append(m.Containers, metricsv1beta1.ContainerMetrics{Name: c.Name, Usage: c.resources()})
			}
			o, err := measured(pod, k, m)
			if err != nil {
				return nil, err
			}
			objects = append(objects, o)
		}
		return objects, nil
	}
}

// measured is metrics with the name and the labels of what they are about, as the
// metrics-server gives them.
func measured(about Object, k *kind, metrics runtime.Object) (Object, error) {
	value, err := toMap(metrics)
	if err != nil {
		return Object{}, err
	}
	of, _ := about.Value()["metadata"].(map[string]any)
	meta := map[string]any{"creationTimestamp": value["timestamp"]}
	for _, field := range []string{"name", "namespace", "labels"} {
		if v, ok := of[field]; ok {
			meta[field] = v
		}
	}
	value["apiVersion"], value["kind"], value["metadata"] = k.GroupVersion().String(), k.Kind, meta
	return Object{Key: Key{Resource: k.key(), Namespace: about.Namespace, Name: about.Name}, Source: Decoded(value)}, nil
}

func window(u NodeUsage) metav1.Duration {
	return metav1.Duration{Duration: u.Took.Round(time.Millisecond)}
}

func (u Usage) resources() corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(u.CPU, resource.Nano),
		corev1.ResourceMemory: *resource.NewQuantity(u.Memory, resource.BinarySI),
	}
}
