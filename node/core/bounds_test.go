package core

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"holon/crdt/state"
	"holon/runtime"
)

// TestBoundsOfDirectories: what is measured of a pod, and what is said of it, in the
// kubelet's words.
func TestBoundsOfDirectories(t *testing.T) {
	dir := func(name string, medium corev1.StorageMedium, limit string) corev1.Volume {
		e := &corev1.EmptyDirVolumeSource{Medium: medium}
		if limit != "" {
			q := resource.MustParse(limit)
			e.SizeLimit = &q
		}
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: e}}
	}
	limited := func(limits ...string) (list []corev1.Container) {
		for _, l := range limits {
			c := corev1.Container{}
			if l != "" {
				c.Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse(l)}
			}
			list = append(list, c)
		}
		return list
	}
	const mi = 1 << 20
	for name, c := range map[string]struct {
		spec    corev1.PodSpec
		volumes int
		sizes   map[string]int64
		want    string
	}{
		"no bound":      {corev1.PodSpec{Volumes: []corev1.Volume{dir("a", "", "")}}, 0, map[string]int64{"a": 9 * mi}, ""},
		"bound of 0":    {corev1.PodSpec{Volumes: []corev1.Volume{dir("a", "", "0")}}, 0, map[string]int64{"a": 9 * mi}, ""},
		"in memory":     {corev1.PodSpec{Volumes: []corev1.Volume{dir("a", "Memory", "1Mi")}}, 0, map[string]int64{"a": 9 * mi}, ""},
		"just":          {corev1.PodSpec{Volumes: []corev1.Volume{dir("a", "", "1Mi")}}, 1, map[string]int64{"a": mi}, ""},
		"not known":     {corev1.PodSpec{Volumes: []corev1.Volume{dir("a", "", "1Mi")}}, 1, nil, ""},
		"one too large": {corev1.PodSpec{Volumes: []corev1.Volume{dir("a", "", "1Mi"), dir("b", "", ""), dir("x", "", "1Mi")}}, 2, map[string]int64{"a": mi, "b": 9 * mi, "x": mi + 1}, `Usage of EmptyDir volume "x" exceeds the limit "1Mi".`},
		"all just":      {corev1.PodSpec{Containers: limited("1Mi", "", "2Mi"), Volumes: []corev1.Volume{dir("a", "", ""), dir("m", "Memory", ""), dir("b", "", "2Mi")}}, 2, map[string]int64{"a": mi, "m": 9 * mi, "b": 2 * mi}, ""},
		"all too large": {corev1.PodSpec{Containers: limited("1Mi", "", "2Mi"), Volumes: []corev1.Volume{dir("a", "", ""), dir("b", "", "2Mi")}}, 2, map[string]int64{"a": mi + 1, "b": 2 * mi}, "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi."},
	} {
		b := dirBoundsOf(&c.spec)
		if got := b.exceeded(c.sizes); len(b.volumes) != c.volumes || got != c.want {
			t.Errorf("%s: %d are measured and %q is said, want %d and %q", name, len(b.volumes), got, c.volumes, c.want)
		}
	}
}

// TestWhoFillsADirectoryIsEvicted, whatever memory there is, and taken back here after a
// while; who has no bound is not even asked.
func TestWhoFillsADirectoryIsEvicted(t *testing.T) {
	x := newCrowd(t, 1, state.Resources{CPU: 4000, Memory: 1 << 30, Pods: 8})
	for name, volume := range map[string]object{"free": {}, "bound": {"sizeLimit": "1Mi"}} {
		x.count++
		pod := object{"containers": []any{object{"name": "app", "image": "app"}}, "volumes": []any{object{"name": "x", "emptyDir": volume}}}
		x.put(state.MakeKey(state.Deployments, "default", name), [16]byte{byte(x.count)}, object{"spec": object{"replicas": int64(1), "template": object{"spec": pod}}})
	}
	x.hear()
	asked := 0
	sample := func(size int64) {
		x.now += 5 * time.Second
		ready := x.Step(x.now, HostChanged{Host: x.host})
		orders := ready.Run
		if m := ready.Measure; m != nil {
			if asked++; m.Memory || len(m.Dirs) != 1 {
				t.Fatalf("it asks for %+v", m)
			}
			sizes := map[runtime.RunID]map[string]int64{m.Dirs[0].Run: {"x": size}}
			orders = append(orders, x.Step(x.now, Measured{Dirs: sizes}).Run...)
		}
		for len(orders) > 0 {
			o := orders[0]
			orders = append(orders[1:], x.Step(x.now, Observed{Pods: x.pods(o)}).Run...)
			orders = append(orders, x.Step(x.now, Ordered{Order: o}).Run...)
		}
		x.hear()
	}
	evicted := func() (says string) {
		for i := range x.status.own.Runs {
			if r := &x.status.own.Runs[i]; r.Refused == state.Evicted {
				says = r.Message
			}
		}
		return says
	}
	for range 6 {
		sample(1 << 20)
	}
	if asked != 3 || evicted() != "" {
		t.Errorf("in 30 s it was asked %d times, and is evicted: %q", asked, evicted())
	}
	sample(1<<20 + 1)
	if want := `Usage of EmptyDir volume "x" exceeds the limit "1Mi".`; evicted() != want {
		t.Fatalf("it says %q, want %q", evicted(), want)
	}
	for range 4 {
		if sample(0); evicted() == "" {
			t.Fatal("it is taken back at once")
		}
	}
	for range 3 {
		sample(0)
	}
	if evicted() != "" {
		t.Errorf("it is not taken back: %q", evicted())
	}
}
