package live

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func itoa(n int) string { return fmt.Sprint(n) }

// shell runs a script that has to succeed.
func shell(t testing.TB, script string, args ...string) string {
	t.Helper()
	r := execute(t, "", "sh", append([]string{"-ec", script, "sh"}, args...)...)
	if r.code != 0 {
		t.Fatalf("sh -c %q %v: %v", script, args, r)
	}
	return r.out
}

// onSmallDisk is a command that runs another in a mount namespace of its own,
// where dir is a file system of 200 MB, mounted with the given options.
func onSmallDisk(dir, options string) []string {
	script := `mount --make-rprivate / && mount -t tmpfs -o "$2" none "$1" && shift 2 && exec "$@"`
	return []string{"unshare", "--mount", "sh", "-ec", script, "sh", dir, "size=200m,mode=0700" + options}
}

// TestDataDirectoryInUse starts a second daemon on the same directory.
func TestDataDirectoryInUse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "node")
	first := startDaemon(t, dir, loneAddress(), nil).awaitUp()
	startDaemon(t, dir, loneAddress(), nil).fails("in use", itoa(first.cmd.Process.Pid))
	first.must("get", "nodes")
}

// TestReadOnlyDisk starts a node where it cannot write.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	startDaemon(t, t.TempDir(), loneAddress(), onSmallDisk(t.TempDir(), ""), "--data-dir", "/proc/holon").fails("data directory", "--data-dir")
	dir := t.TempDir()
	startDaemon(t, dir, loneAddress(), onSmallDisk(dir, ",ro")).fails("read-only")
}

// TestDiskFillsUp fills the disk under a running node: it takes no write and
// says so, goes on answering reads, and recovers when there is room again. What
// it had acknowledged is there, and what the others wrote meanwhile.
func TestDiskFillsUp(t *testing.T) {
	t.Parallel()
	peer := startDaemon(t, filepath.Join(t.TempDir(), "large"), loneAddress(), nil).awaitUp()
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, dir, loneAddress(), onSmallDisk(dir, ""), "--join", peer.must("token", "create"))
	d.root = "/proc/" + itoa(d.cmd.Process.Pid) + "/root"
	d.awaitUp()
	if r := d.apply(configMap("before", "k", "v")); r.code != 0 {
		t.Fatal(r)
	}
	filler := filepath.Join(d.root+dir, "filler")
	shell(t, `dd if=/dev/zero of="$1" bs=64k 2>/dev/null || true`, filler)

	written := fillStore(t, d)
	if out := d.must("status"); !strings.Contains(out, "disk full") {
		t.Errorf("its status does not speak of the disk: %s", out)
	}
	eventually(t, "its peer shows that it cannot store", func() error {
		if out := peer.must("describe", "node", "small"); !strings.Contains(out, "DiskFailure") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if r := peer.apply(configMap("elsewhere", "k", "v")); r.code != 0 {
		t.Errorf("the peer takes no writes either: %v", r)
	}
	if out := d.must("get", "configmap", "before", "-o", "jsonpath={.data.k}"); out != "v" {
		t.Errorf("reads on a full disk: %q", out)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node takes writes again", func() error {
		if r := d.apply(configMap("after", "k", "v")); r.code != 0 {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	for _, name := range append(written, "before", "after", "elsewhere") {
		for _, node := range []*daemon{d, peer} {
			eventually(t, "both have "+name, func() error {
				if r := node.ask("get", "configmap", name); r.code != 0 {
					return fmt.Errorf("%v", r)
				}
				return nil
			})
		}
	}
}

// TestDiskFailsInABurst takes the disk away from a node while clients write
// through it, by filling it up and by making it read-only: nothing is
// acknowledged then, reads go on, and when the disk is back so are the writes,
// without a restart. What was acknowledged before and after is there, here and on
// the peer.
func TestDiskFailsInABurst(t *testing.T) {
	for name, fault := range map[string]struct{ breaks, mends, says string }{
		"full": {`dd if=/dev/zero of="$1/filler" bs=64k 2>/dev/null || true`, `rm "$1/filler"`, "disk full"},
		// Made read-only aside and moved into place: in place it is busy once the daemon has
		// opened a file between the two calls.
		"read-only": {`mkdir -p "$1.ro" && mount --bind "$1" "$1.ro" && mount -o remount,bind,ro "$1.ro" && mount --move "$1.ro" "$1"`, `umount "$1"`, "not writable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			peer := startDaemon(t, filepath.Join(t.TempDir(), "large"), loneAddress(), nil).awaitUp()
			dir := filepath.Join(t.TempDir(), "small")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			d := startDaemon(t, dir, loneAddress(), onSmallDisk(dir, ""), "--join", peer.must("token", "create"))
			pid := itoa(d.cmd.Process.Pid)
			d.root = "/proc/" + pid + "/root"
			d.awaitUp()
			there := func(script string) {
				t.Helper()
				shell(t, `exec nsenter --mount=/proc/$2/ns/mnt sh -ec "$3" sh "$1"`, dir, pid, script)
			}
			a, l := newAPI(d.socket()), newLedger()
			end := l.clients(a)
			defer end()
			for range 2 {
				l.await(t, 50)
				there(fault.breaks)
				l.stalls(t)
				if err := l.check(a); err != nil {
					t.Errorf("reads while the disk is %s: %v", name, err)
				}
				eventually(t, "its status says what is wrong", func() error {
					if out := d.must("status"); !strings.Contains(out, fault.says) {
						return fmt.Errorf("%s", out)
					}
					return nil
				})
				there(fault.mends)
				l.await(t, 50)
			}
			end()
			for _, node := range []*api{a, newAPI(peer.socket())} {
				eventually(t, "every acknowledged write is here and there", func() error { return l.check(node) })
			}
		})
	}
}

// fillStore writes until a write is refused, and returns what was acknowledged.
func fillStore(t *testing.T, d *daemon) (written []string) {
	t.Helper()
	ballast := strings.Repeat("x", 200_000)
	for i := range 400 {
		name := fmt.Sprintf("ballast-%d", i)
		r := d.apply(configMap(name, "k", ballast))
		if r.code != 0 {
			if !strings.Contains(r.err, "full") && !strings.Contains(r.err, "no space left") {
				t.Errorf("the refused write does not name the cause: %v", r)
			}
			return written
		}
		written = append(written, name)
	}
	t.Fatal("80 MB went onto a disk that was full")
	return nil
}

// TestFullDiskAtStart starts a node on a disk without room.
func TestFullDiskAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	under := []string{"unshare", "--mount", "sh", "-ec",
		`mount --make-rprivate / && mount -t tmpfs -o size=1m none "$1" && shift && exec "$@"`, "sh", dir}
	startDaemon(t, dir, loneAddress(), under).fails("full")
}

// TestDamagedDatabase flips bytes in the newest database file of a node: either
// it refuses to start and names the file, or it says what it set aside. When the
// bytes are put back, or its peers are asked, nothing is lost.
func TestDamagedDatabase(t *testing.T) {
	t.Parallel()
	n := up(t, 3, "process")
	for i := range 20 {
		n.apply("n2", configMap(fmt.Sprintf("c%d", i), "k", strings.Repeat("v", 2000)))
	}
	n.must("kill", "n2")
	damaged := 0
	err := filepath.WalkDir(n.at("net", "n2"), func(path string, e os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".mem") && !strings.HasSuffix(path, ".vlog") && !strings.HasSuffix(path, ".sst") {
			return err
		}
		damaged++
		return flip(path, 3000)
	})
	if err != nil || damaged == 0 {
		t.Fatalf("%d database files found: %v", damaged, err)
	}
	r := n.testnet("start", "n2")
	words := n.must("logs", "n2")
	if r.code == 0 {
		if !strings.Contains(words, "corrupt") && !strings.Contains(words, "damaged") {
			t.Errorf("n2 started from damaged files without a word: %s", words)
		}
	} else if !strings.Contains(r.err, "corrupt") && !strings.Contains(r.err, "damaged") {
		t.Errorf("n2 does not say what is wrong: %v", r)
	}
	for i := range 20 {
		n.awaitOutput("n1", fmt.Sprintf("configmap/c%d", i), "get", "configmap", fmt.Sprintf("c%d", i), "-o", "name")
	}
}

// TestOldStatePutBack puts an old copy of a node's database back, takes its mark
// away, and puts the old copy back under the new mark: each time the node starts, says what it makes of that, and no write
// is missing on any node.
func TestOldStatePutBack(t *testing.T) {
	t.Parallel()
	n := up(t, 3, "process")
	written := 0
	write := func() {
		t.Helper()
		for range 5 {
			n.apply("n2", configMap(fmt.Sprint("c", written), "k", "v"))
			written++
		}
		// What only the state that is about to be replaced holds would be lost.
		n.awaitOutput("n1", fmt.Sprint("configmap/c", written-1), "get", "configmap", fmt.Sprint("c", written-1), "-o", "name")
	}
	state, old, mark := n.at("net", "n2", "state"), n.at("old"), n.at("net", "n2", "mark")
	write()
	n.must("kill", "n2")
	shell(t, `cp -a "$1" "$2"`, state, old)
	n.must("start", "n2")
	write()
	putBack := func() { shell(t, `rm -r "$1" && cp -a "$2" "$1"`, state, old) }
	for _, damage := range []struct {
		says  string
		spoil func()
	}{
		{"it is older than its mark", putBack},
		{"its mark is gone", func() { shell(t, `rm "$1"`, mark) }},
		{"its mark belongs to another database", putBack}, // the new mark is of a database with a new name
	} {
		n.must("kill", "n2")
		damage.spoil()
		n.must("start", "n2")
		eventually(t, "n2 says that "+damage.says, func() error {
			if words := n.must("logs", "n2"); !strings.Contains(words, damage.says) {
				return fmt.Errorf("%s", words)
			}
			return nil
		})
		write()
		for _, node := range n.names() {
			for i := range written {
				n.awaitOutput(node, fmt.Sprint("configmap/c", i), "get", "configmap", fmt.Sprint("c", i), "-o", "name")
			}
		}
	}
	if out := n.on("n2", "events", "-A", "--types", "Warning"); !strings.Contains(out, "ReplicaReplaced") {
		t.Errorf("no Event tells of it: %s", out)
	}
}

// TestLostDatabase takes the database of the node that made the cluster away, as
// the words about a damaged file advise: it comes back by itself, with everything.
func TestLostDatabase(t *testing.T) {
	t.Parallel()
	n := up(t, 3, "process")
	n.apply("n1", configMap("before", "k", "v"))
	n.awaitOutput("n2", "v", "get", "configmap", "before", "-o", "jsonpath={.data.k}")
	n.must("kill", "n1")
	n.apply("n2", configMap("meanwhile", "k", "v"))
	shell(t, `rm -r "$1"`, n.at("net", "n1", "state"))
	n.must("start", "n1")
	n.apply("n1", configMap("after", "k", "v"))
	for _, node := range n.names() {
		for _, name := range []string{"before", "meanwhile", "after"} {
			n.awaitOutput(node, "v", "get", "configmap", name, "-o", "jsonpath={.data.k}")
		}
	}
}

// flip changes 16 bytes of a file.
func flip(path string, offset int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 16)
	if _, err := f.ReadAt(b, offset); err != nil {
		return nil // shorter than that
	}
	for i := range b {
		b[i] ^= 0xff
	}
	_, err = f.WriteAt(b, offset)
	return err
}

// TestDeadPodman kills the Podman service under a node: the node says so in its
// conditions and goes on; its containers run on; when the service is back, the
// node works again.
func TestDeadPodman(t *testing.T) {
	t.Parallel()
	n := up(t, 1, "podman")
	n.deployWeb(2)
	before, runs := n.awaitServing("n1", 2)
	n.killService()
	eventually(t, "the node says that Podman does not answer", func() error {
		if out := n.on("n1", "describe", "node", "n1"); !strings.Contains(out, "Podman") || !strings.Contains(out, "False") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	for _, p := range before {
		if run, err := n.fetch(&p); err != nil || run != runs[p.name()] {
			t.Errorf("%s does not serve without the service: %v", p.name(), err)
		}
	}
	n.apply("n1", configMap("meanwhile", "k", "v"))
	n.must("start", "n1") // starts the service again; the node runs
	after, again := n.awaitServing("n1", 2)
	for name, p := range before {
		if q := after[name]; p.life() != q.life() || runs[name] != again[name] {
			t.Errorf("%s was restarted: %s, then %s", name, p.life(), q.life())
		}
	}
	n.on("n1", "scale", "deploy/web", "--replicas", "3")
	n.awaitServing("n1", 3)
}

// killService kills the testnet's Podman service.
func (n *network) killService() {
	n.t.Helper()
	for _, pid := range processes() {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if s := string(cmdline); strings.Contains(s, "system\x00service") && strings.Contains(s, n.dir+"/") {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				n.t.Fatal(err)
			}
			return
		}
	}
	n.t.Fatal("the Podman service is not there")
}
