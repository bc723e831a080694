//go:build remote

package podman

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"holon/runtime"
)

// BenchmarkPod gives the medians of what a pod costs, in milliseconds: to
// ensure, to exec in, to stop with nothing to wait for, and to list fifty.
func BenchmarkPod(b *testing.B) {
	r := newRuntime(b, "bench", "n1")
	const pods, rounds = 50, 20
	var ensures, execs, stops, lists []time.Duration
	measure := func(into *[]time.Duration, f func() error) {
		start := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		*into = append(*into, time.Since(start))
	}
	ctx := context.Background()
	for b.Loop() {
		var specs []runtime.Spec
		for i := range pods {
			spec := pod(b, r, fmt.Sprintf("bench%d", i), forever)
			specs = append(specs, spec)
			measure(&ensures, func() error { return r.EnsurePod(ctx, spec) })
		}
		for range rounds {
			measure(&execs, func() error {
				_, err := r.Exec(ctx, specs[0].ID, "main", runtime.ExecOptions{Command: []string{"/bin/true"}})
				return err
			})
			measure(&lists, func() error { _, err := r.Pods(ctx); return err })
		}
		for _, spec := range specs {
			measure(&stops, func() error { return r.StopPod(ctx, spec.ID, 0) })
		}
	}
	for unit, all := range map[string][]time.Duration{
		"ensure-p50-ms": ensures, "exec-p50-ms": execs, "stop-p50-ms": stops, "list50-p50-ms": lists,
	} {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, unit)
	}
}
