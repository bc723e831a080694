package badger

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"holon/crdt"
)

// BenchmarkCommit commits records of 1 KiB, some of them overwritten, in
// batches as the loop's group commit makes them.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 2))
			batch := make([]crdt.KV, size)
			for b.Loop() {
				for i := range batch {
					batch[i] = crdt.KV{Key: fmt.Sprintf("r/deployments/default/%06d", r.IntN(50_000)), Value: randomBytes(r, 1024)}
				}
				if err := s.Commit(batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "pairs/s")
			debug.FreeOSMemory()
			b.ReportMetric(resident(b, "RssAnon:"), "MB-anon")
			b.ReportMetric(resident(b, "VmRSS:"), "MB-rss")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func resident(b *testing.B, field string) float64 {
	b.Helper()
	mb, err := residentSet(field)
	if err != nil {
		b.Fatal(err)
	}
	return mb
}

// residentSet reads a field of /proc/self/status, in MB of 10^6 bytes.
func residentSet(field string) (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(status), "\n") {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			return float64(kib) * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc/self/status", field)
}
