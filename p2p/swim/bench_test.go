package swim

import (
	goruntime "runtime"
	"testing"
	"time"
)

// A thousand machines that all know each other, for sixty virtual seconds, one
// death included.
func BenchmarkThousandMachinesForSixtySeconds(b *testing.B) {
	for b.Loop() {
		w := newWorld(b, 1000, 1, LAN())
		w.run(5 * time.Second)
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		packets, sent, start := w.packets, w.bytes, time.Now()
		w.run(30 * time.Second)
		w.stop(w.nodes[0])
		took := w.until(30*time.Second, func() bool { return w.all(w.nodes[0], Unreachable) })
		w.run(30*time.Second - took)
		goruntime.ReadMemStats(&after)
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/60s")
		b.ReportMetric(float64(after.Mallocs-before.Mallocs), "allocs/60s")
		b.ReportMetric(float64(w.packets-packets)/60/1000, "packets/s/node")
		b.ReportMetric(float64(w.bytes-sent)/60/1000, "bytes/s/node")
		b.ReportMetric(took.Seconds(), "s-to-detect")
		b.ReportMetric(float64(w.count(Unreachable, 5*time.Second)), "verdicts")
		b.ReportMetric(float64(after.HeapInuse>>20), "heap-MiB")
	}
}
