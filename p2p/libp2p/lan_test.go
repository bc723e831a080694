package libp2p

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	goruntime "runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holon/p2p"
	"holon/p2p/cert"
)

func TestAnnouncementsRoundTrip(t *testing.T) {
	f := start(t, nil)
	want := announcement{cluster: testCluster, peer: mesh(f).self, addrs: parseAddrs(f.Mesh.Addrs()), door: parseAddrs(f.Mesh.Addrs()[:1])}
	got, ok := parseAnnouncement(want.text())
	if !ok || got.cluster != want.cluster || got.peer != want.peer || len(got.addrs) != 2 || len(got.door) != 1 {
		t.Errorf("%+v became %+v", want, got)
	}
	for _, txt := range [][]string{nil, {"c=" + testCluster}, {"p=" + string(f.ID())}, {"c=x", "p=" + string(f.ID())}, {"c=" + testCluster, "p=x"}} {
		if _, ok := parseAnnouncement(txt); ok {
			t.Errorf("%q was believed", txt)
		}
	}
	for range 100 {
		want.addrs = append(want.addrs, want.addrs[0])
	}
	if size := len(bytes.Join(toBytes(want.text()), nil)); size > 1200 {
		t.Errorf("an announcement has %d bytes", size)
	}
}

func toBytes(ss []string) (out [][]byte) {
	for _, s := range ss {
		out = append(out, []byte(s))
	}
	return out
}

// insideNamespace says that this process is the one with a network of its own.
const insideNamespace = "HOLON_TEST_INSIDE_NAMESPACE"

// inOwnNamespace runs a test again in a network namespace of its own, whose only
// interface is a loopback that speaks multicast: so nothing leaves this machine, and
// nothing of its network disturbs.
func inOwnNamespace(t *testing.T, inside func()) {
	t.Helper()
	if os.Getenv(insideNamespace) != "" {
		multicastLoopback(t)
		inside()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), insideNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	goruntime.LockOSThread() // the parent of Pdeathsig is a thread
	defer goruntime.UnlockOSThread()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func multicastLoopback(t *testing.T) {
	t.Helper()
	onLoopback(t, func(fd int, ifr *unix.Ifreq) error {
		ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_MULTICAST)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
	})
}

// onLoopback asks something of the loopback interface.
func onLoopback(t *testing.T, ask func(fd int, ifr *unix.Ifreq) error) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err == nil {
		err = ask(fd, ifr)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestNodesFindEachOtherOnTheLAN(t *testing.T) {
	inOwnNamespace(t, func() { findEachOther(t) })
}

// Own addresses are what the interfaces have now, not a minute ago.
func TestOwnAddressesChange(t *testing.T) {
	inOwnNamespace(t, func() {
		end := rawHost(t, nil)
		if err := end.net.Listen(parseAddrs(DefaultListen)...); err != nil {
			t.Fatal(err)
		}
		for _, ip := range []string{"10.1.1.1", "10.1.1.2", "10.2.1.1"} {
			setLoopback(t, ip)
			addrs := listenAddrs(end)
			if len(addrs) == 0 || slices.ContainsFunc(addrs, func(a string) bool { return !strings.HasPrefix(a, "/ip4/"+ip+"/") }) {
				t.Errorf("with address %s the node gives %v", ip, addrs)
			}
		}
	})
}

func setLoopback(t *testing.T, ip string) {
	t.Helper()
	onLoopback(t, func(fd int, ifr *unix.Ifreq) error {
		return errors.Join(ifr.SetInet4Addr(net.ParseIP(ip).To4()), unix.IoctlIfreq(fd, unix.SIOCSIFADDR, ifr))
	})
}

func findEachOther(t *testing.T) {
	c := newCluster(t)
	onLAN := func(cfg *Config) { cfg.MDNS = true }
	a, b := start(t, onLAN), start(t, onLAN)
	// They know each other's names, and no address.
	names := []p2p.Member{{ID: a.ID()}, {ID: b.ID()}}
	a.Mesh.SetMembers(names)
	b.Mesh.SetMembers(names)
	awaitAllUp(t, a, b)

	// A newcomer whose token has no address finds the door, though it opened
	// after the node was announced.
	host := c.member("host")
	mesh(host).cfg.MDNS = true
	mesh(host).spawn(mesh(host).keepOnLAN)
	c.open(host, c.grants(host))
	if _, _, err := join(t, JoinConfig{Token: c.token(), MDNS: true}); err != nil {
		t.Fatal(err)
	}
	stale := c.token()
	stale.Addrs = []string{"/ip4/127.0.0.1/tcp/9/p2p/" + string(host.ID())}
	if _, _, err := join(t, JoinConfig{Token: stale, MDNS: true}); err != nil {
		t.Fatal(err)
	}

	other := start(t, func(cfg *Config) { cfg.MDNS, cfg.Cluster = true, "ffffffffffffffffffffffffffffffff" })
	var seen []LANCluster
	for range 5 {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		got, err := Browse(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if seen = got; len(seen) == 2 && len(seen[0].Peers) == 3 && seen[0].Doors == 1 {
			break
		}
	}
	if len(seen) != 2 || seen[0].ID != testCluster || len(seen[0].Peers) != 3 || seen[0].Doors != 1 ||
		seen[1].ID != mesh(other).cfg.Cluster || !slices.Equal(seen[1].Peers, []p2p.PeerID{other.ID()}) {
		t.Errorf("browsing saw %+v", seen)
	}
	if cert.ValidClusterID(seen[0].ID) && (a.Events.IsUp(other.ID()) || other.Events.IsUp(a.ID())) {
		t.Error("nodes of two clusters connected")
	}
}
