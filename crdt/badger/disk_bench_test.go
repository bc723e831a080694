package badger

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	dgraph "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"holon/crdt"
)

// shapes are the ways to set Badger up that BenchmarkDisk compares: what this
// package uses, one change at a time, and Badger as it comes.
var shapes = []struct {
	name string
	tune func(dgraph.Options) dgraph.Options
}{
	{"ours", func(o dgraph.Options) dgraph.Options { return o }},
	{"memtable=1M", func(o dgraph.Options) dgraph.Options {
		return o.WithMemTableSize(1 << 20).WithBaseTableSize(1 << 20).WithBaseLevelSize(4 << 20)
	}},
	{"memtable=4M", func(o dgraph.Options) dgraph.Options { return o.WithMemTableSize(4 << 20) }},
	{"level0=4", func(o dgraph.Options) dgraph.Options { return o.WithNumLevelZeroTables(4) }},
	{"values=1K", func(o dgraph.Options) dgraph.Options { return o.WithValueThreshold(1 << 10) }},
	{"snappy", func(o dgraph.Options) dgraph.Options {
		return o.WithCompression(options.Snappy).WithBlockCacheSize(4 << 20)
	}},
	{"index-cache", func(o dgraph.Options) dgraph.Options { return o.WithIndexCacheSize(1 << 20) }},
	{"raw", func(o dgraph.Options) dgraph.Options {
		return dgraph.DefaultOptions(o.Dir).WithSyncWrites(true).WithLogger(o.Logger).WithMetricsEnabled(false)
	}},
}

// footprint is what one shape comes to, in MB of 10^6 bytes unless said.
type footprint struct {
	Written  float64 // keys and values of the 100,000 records
	Disk     float64 // blocks taken by them
	Anon     float64 // RssAnon 10 s after writing them, garbage collected
	Boot     float64 // RssAnon after opening again and reading everything
	BootTime float64 // seconds
	Live     float64 // keys and values of the 1,000 records
	Over100k float64 // blocks after 100,000 overwrites of 1,000 keys, GC run
	Over1M   float64 // after 1,000,000; 0 unless HOLON_TEST_LONG
	Rate     float64 // overwrites/s, 64 per commit
	Amplify  float64 // bytes sent to the disk per byte overwritten
	Idle     float64 // bytes written per second at rest
}

// BenchmarkDisk measures memory and disk of 100,000 records of 1 to 3 KB, and of
// 1,000 records that are overwritten 100,000 times, each in a process of its own.
// Run it with -benchtime=1x. Each shape takes most of a minute, so all of them are
// measured only with HOLON_TEST_LONG, else what this package uses.
func BenchmarkDisk(b *testing.B) {
	measured := shapes[:1]
	if long {
		measured = shapes
	}
	for _, shape := range measured {
		b.Run(shape.name, func(b *testing.B) {
			var f footprint
			for b.Loop() {
				f = measureShape(b, shape.name)
			}
			for unit, value := range map[string]float64{
				"MB-disk": f.Disk, "disk/written": f.Disk / f.Written, "MB-anon": f.Anon, "MB-anon-boot": f.Boot, "s-boot": f.BootTime,
				"MB-100k-over": f.Over100k, "x-live": f.Over100k / f.Live, "over/s": f.Rate, "B/s-idle": f.Idle, "x-written": f.Amplify,
			} {
				b.ReportMetric(value, unit)
			}
			if f.Over1M > 0 {
				b.ReportMetric(f.Over1M/f.Over100k, "1M/100k")
			}
		})
	}
}

func measureShape(b *testing.B, name string) (f footprint) {
	b.Helper()
	b.Setenv("HOLON_STORE_SHAPE", name)
	cmd, out := helper(b, "disk", b.TempDir())
	for out.Scan() {
		if err := json.Unmarshal(out.Bytes(), &f); err != nil {
			b.Fatalf("%v: %q", err, out.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	return f
}

// diskJob measures one shape in this process and prints the footprint.
func diskJob(dir string) error {
	opts := Options{GCInterval: time.Hour}
	for _, s := range shapes {
		if s.name == os.Getenv("HOLON_STORE_SHAPE") {
			opts.tune = s.tune
		}
	}
	var f footprint
	if err := errors.Join(f.fill(filepath.Join(dir, "fill"), opts), f.overwrite(filepath.Join(dir, "over"), opts)); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

func (f *footprint) fill(dir string, opts Options) error {
	s, err := Open(dir, opts)
	if err != nil {
		return err
	}
	const records = 100_000
	r := rand.New(rand.NewPCG(1, 2))
	written, err := writeRecords(s, r, records, func(i int) int { return i }, func() int { return 1000 + r.IntN(2000) })
	if err != nil {
		return err
	}
	if err := settled(s); err != nil {
		return err
	}
	f.Written = float64(written) / 1e6
	const rest = 10 * time.Second
	time.Sleep(rest) // what Badger does after the fact is not rest
	before, err := bytesWritten()
	if err != nil {
		return err
	}
	time.Sleep(rest)
	after, err := bytesWritten()
	if err != nil {
		return err
	}
	f.Anon = anonymous()
	f.Idle = float64(after-before) / rest.Seconds()
	if err := s.Close(); err != nil {
		return err
	}
	if f.Disk, err = blocksOf(dir); err != nil {
		return err
	}
	began := time.Now()
	if s, err = Open(dir, opts); err != nil {
		return err
	}
	n := 0
	err = s.Load("", func(string, []byte) error {
		n++
		return nil
	})
	f.BootTime = time.Since(began).Seconds()
	f.Boot = anonymous()
	if err == nil && n != records {
		err = fmt.Errorf("%d records of %d are there", n, records)
	}
	return errors.Join(err, s.Close())
}

func (f *footprint) overwrite(dir string, opts Options) error {
	s, err := Open(dir, opts)
	if err != nil {
		return err
	}
	const keys, size = 1000, 1024
	r := rand.New(rand.NewPCG(3, 4))
	round := func(times int) (float64, error) {
		began := time.Now()
		before, err := bytesWritten()
		if err != nil {
			return 0, err
		}
		written, err := writeRecords(s, r, times, func(int) int { return r.IntN(keys) }, func() int { return size })
		if err != nil {
			return 0, err
		}
		f.Live = float64(written) / float64(times) * keys / 1e6
		f.Rate = float64(times) / time.Since(began).Seconds()
		if err := settled(s); err != nil {
			return 0, err
		}
		after, err := bytesWritten()
		if err != nil {
			return 0, err
		}
		f.Amplify = float64(after-before) / float64(written)
		if err := s.reclaim(); err != nil {
			return 0, err
		}
		return blocksOf(dir)
	}
	if f.Over100k, err = round(100_000); err == nil && long {
		f.Over1M, err = round(900_000)
	}
	return errors.Join(err, s.Close())
}

// writeRecords commits records in batches of 64 and returns their bytes.
func writeRecords(s *Store, r *rand.Rand, times int, key func(i int) int, size func() int) (written int64, err error) {
	const perCommit = 64
	batch := make([]crdt.KV, 0, perCommit)
	for i := range times {
		kv := crdt.KV{Key: fmt.Sprintf("r/configmaps/default/config-%06d", key(i)), Value: randomBytes(r, size())}
		written += int64(len(kv.Key) + len(kv.Value))
		if batch = append(batch, kv); len(batch) == perCommit || i == times-1 {
			if err := s.Commit(batch); err != nil {
				return 0, err
			}
			batch = batch[:0]
		}
	}
	return written, nil
}

// anonymous is RssAnon of this process in MB, after a garbage collection.
func anonymous() float64 {
	goruntime.GC()
	debug.FreeOSMemory()
	mb, err := residentSet("RssAnon:")
	if err != nil {
		panic(err)
	}
	return mb
}

// bytesWritten is what this process has caused to be sent to the disk.
func bytesWritten() (n int64, err error) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(text), "\n") {
		if _, err := fmt.Sscanf(line, "write_bytes: %d", &n); err == nil {
			return n, nil
		}
	}
	return 0, errors.New("no write_bytes in /proc/self/io")
}

// blocksOf is what the files of a directory take on disk, in MB: holes do not
// count.
func blocksOf(dir string) (mb float64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(dir, e.Name()), &st); err != nil {
			return 0, err
		}
		mb += float64(st.Blocks) * 512 / 1e6
	}
	return mb, nil
}
