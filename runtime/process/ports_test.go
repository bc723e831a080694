package process

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"holon/runtime"
)

// freePort returns a port that is free on every address.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func servePod(t testing.TB, id, address string, ports ...runtime.Port) runtime.Spec {
	return runtime.Spec{ID: runtime.RunID(id), Namespace: "ns", Name: id, Containers: []runtime.Container{
		{Name: "c0", Command: []string{self(t), "serve", address}, Ports: ports},
	}}
}

// A program that listens on 0.0.0.0 where another pod has the port gets the
// sentence that says what to do; so does one that comes after it.
func TestWildcardCollision(t *testing.T) {
	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	port := freePort(t)
	declared := runtime.Port{ContainerPort: port}
	ensure(t, r, servePod(t, "good", fmt.Sprintf("$(POD_IP):%d", port), declared))
	ip := statusOf(t, r, "good").IP
	eventually(t, "the first pod listens", func() bool { return len(sockets("tcp", port)) == 1 })

	// Refused by the kernel: the program exits, the status says why.
	ensure(t, r, servePod(t, "greedy", fmt.Sprintf("0.0.0.0:%d", port), declared))
	c := awaitState(t, r, "greedy", 0, runtime.Exited)
	for _, want := range []string{"PortTaken", "listen on $(POD_IP)", strconv.Itoa(port), ip} {
		if !strings.Contains(c.Message, want) {
			t.Errorf("message %q does not say %q", c.Message, want)
		}
	}

	// A program that fails for another reason is not accused.
	broken := servePod(t, "broken", "no address at all", declared)
	ensure(t, r, broken)
	if c := awaitState(t, r, "broken", 0, runtime.Exited); c.Message != "" {
		t.Errorf("a failure that has nothing to do with ports is explained as %q", c.Message)
	}

	// With the wildcard taken by somebody else, nobody can have the port.
	stop(t, r, "good", 0)
	stop(t, r, "greedy", 0)
	wild, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer wild.Close()
	err = r.EnsurePod(ctx, servePod(t, "late", fmt.Sprintf("$(POD_IP):%d", port), declared))
	wantKind(t, "a wildcard listener", err, runtime.PortTaken, strconv.Itoa(port), "pid")
}

func TestPortPlans(t *testing.T) {
	cfg := testConfig(t)
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	for name, ports := range map[string][]runtime.Port{
		"protocol":       {{ContainerPort: 80, Protocol: "SCTP"}},
		"no port":        {{ContainerPort: 0}},
		"too high":       {{ContainerPort: 80, HostPort: 70000}},
		"host IP":        {{ContainerPort: 80, HostPort: 8080, HostIP: "here"}},
		"twice":          {{ContainerPort: 80}, {ContainerPort: 80}},
		"host, twice":    {{ContainerPort: 80, HostPort: 8080}, {ContainerPort: 81, HostPort: 8080}},
		"host, wildcard": {{ContainerPort: 80, HostPort: 8080}, {ContainerPort: 81, HostPort: 8080, HostIP: "0.0.0.0"}},
	} {
		err := r.EnsurePod(ctx, servePod(t, "a", "x", ports...))
		if runtime.KindOf(err) != runtime.BadSpec {
			t.Errorf("%s: %v, want BadSpec", name, err)
		}
	}
	cfg.Dir, cfg.Subnet = t.TempDir(), netip.Prefix{}
	cleaned(t, cfg.Dir)
	lan := open(t, cfg)
	err := lan.EnsurePod(ctx, servePod(t, "a", "x", runtime.Port{ContainerPort: 80, HostPort: 8080}))
	wantKind(t, "different ports without a subnet", err, runtime.BadSpec, "must be equal")
	info, err := lan.Info(ctx)
	if err != nil || !info.HostPortsOnly {
		t.Errorf("info %+v, %v", info, err)
	}
	// Two pods that declare the same containerPort cannot both be here.
	port := freePort(t)
	ensure(t, lan, servePod(t, "a", fmt.Sprintf("$(POD_IP):%d", port), runtime.Port{ContainerPort: port}))
	err = lan.EnsurePod(ctx, servePod(t, "b", fmt.Sprintf("$(POD_IP):%d", port), runtime.Port{ContainerPort: port}))
	wantKind(t, "the same port again", err, runtime.PortTaken, "ns/a")
}

func TestAddressesAreReused(t *testing.T) {
	cfg := testConfig(t)
	cfg.Subnet = netip.MustParsePrefix("127.77.200.0/29") // .2 to .6
	cleaned(t, cfg.Dir)
	r := open(t, cfg)
	for i := 2; i <= 6; i++ {
		id := fmt.Sprint("p", i)
		ensure(t, r, shPod(id, "sleep 1000"))
		if ip := statusOf(t, r, runtime.RunID(id)).IP; ip != fmt.Sprint("127.77.200.", i) {
			t.Errorf("pod %d has %s", i, ip)
		}
	}
	wantKind(t, "a sixth pod", r.EnsurePod(ctx, shPod("p7", "sleep 1000")), runtime.PortTaken, "no free address")
	stop(t, r, "p4", 0)
	ensure(t, r, shPod("p8", "sleep 1000"))
	if ip := statusOf(t, r, "p8").IP; ip != "127.77.200.4" {
		t.Errorf("the address of the stopped pod was not given again: %s", ip)
	}
}

func TestForwardUDPAndHalfClose(t *testing.T) {
	echo, err := net.ListenPacket("udp", "127.77.200.9:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			echo.WriteTo(append([]byte("re: "), buf[:n]...), from)
		}
	}()
	defer echo.Close()
	to := echo.LocalAddr().(*net.UDPAddr)
	f := forwardOrder{listenOrder{"udp", testHostIP, freePort(t)}, listenOrder{"udp", to.IP.String(), to.Port}}
	if err := f.listen(); err != nil {
		t.Fatal(err)
	}
	for client := range 3 {
		c, err := net.Dial("udp", f.Listen.address())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			fmt.Fprint(c, client)
			c.SetReadDeadline(time.Now().Add(patience))
			buf := make([]byte, 100)
			n, err := c.Read(buf)
			if want := fmt.Sprint("re: ", client); err != nil || string(buf[:n]) != want {
				t.Errorf("client %d got %q, %v", client, buf[:n], err)
			}
		}
		c.Close()
	}
	wantKind(t, "a port that is taken", portError(f.Listen, f.listen()), runtime.PortTaken)
}

func TestParseProcAddress(t *testing.T) {
	for in, want := range map[string]string{
		"0100007F:1F90":                         "127.0.0.1:8080",
		"00000000:0050":                         "0.0.0.0:80",
		"0000000000000000FFFF00000100007F:0016": "127.0.0.1:22",
		"00000000000000000000000001000000:0016": "[::1]:22",
	} {
		got, ok := parseProcAddress(in)
		if !ok || netip.AddrPortFrom(got.Addr().Unmap(), got.Port()).String() != want {
			t.Errorf("%s: %v, want %s", in, got, want)
		}
	}
	for _, in := range []string{"", "x", "0100007F", "01:99999", "zz00007F:1F90"} {
		if got, ok := parseProcAddress(in); ok {
			t.Errorf("%q is read as %v", in, got)
		}
	}
}
