package process

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holon/runtime"
	"holon/runtime/runtimetest"
)

// The test binary is also the shim, a program that serves, and a daemon that
// is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "shim":
			os.Exit(Shim(os.Args[2:]))
		case "serve":
			os.Exit(serve(os.Args[2]))
		case "daemon":
			os.Exit(daemon(os.Args[2]))
		}
	}
	os.Exit(m.Run())
}

// serve answers each connection to an address with "hello\n".
func serve(address string) int {
	l, err := net.Listen("tcp", os.Expand(address, os.Getenv))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return 1
		}
		fmt.Fprintln(c, "hello")
		c.Close()
	}
}

func self(t testing.TB) string {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// shimCommand keeps the race detector from holding up the end of each shim by
// a second, which is its way.
func shimCommand(t testing.TB) []string {
	return []string{"/usr/bin/env", "GORACE=atexit_sleep_ms=0", self(t), "shim"}
}

const testHostIP = "127.77.200.1"

func testConfig(t testing.TB) Config {
	return Config{
		Dir: t.TempDir(), Node: "n1", Cluster: "test", Shim: shimCommand(t),
		Subnet: netip.MustParsePrefix("127.77.200.0/24"), HostIP: testHostIP, LogBytesMax: 64 << 10,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// open makes a Runtime whose pods are cleaned at the end of the test.
func open(t testing.TB, cfg Config) *Runtime {
	t.Helper()
	r, err := New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// cleaned removes whatever a test leaves, and fails if something is left then.
func cleaned(t testing.TB, dir string) {
	t.Cleanup(func() {
		if err := Clean(dir); err != nil {
			t.Errorf("clean: %v", err)
		}
		for _, tree := range findCgroups(dir).podPaths("") {
			if _, err := os.Stat(tree); err == nil {
				t.Errorf("control group %s is left", tree)
			}
		}
	})
}

// opened lets other users through to a node's pods.
func opened(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
}

func fixture(t *testing.T, change func(*Config)) runtimetest.Fixture {
	cfg := testConfig(t)
	if change != nil {
		change(&cfg)
	}
	cleaned(t, cfg.Dir)
	opened(t, cfg.Dir)
	return runtimetest.Fixture{
		NoInput: true,
		New: func() runtime.Runtime {
			r, err := New(context.Background(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
		Command: func(script string) ([]string, string) { return []string{"/bin/sh", "-c", script}, "" },
		Serve: func(port int) ([]string, string) {
			return []string{self(t), "serve", "$(POD_IP):" + strconv.Itoa(port)}, ""
		},
		Kill: func(t *testing.T, pod runtime.Status, container string) {
			for _, c := range pod.Containers {
				if c.Name != container {
					continue
				}
				pid, err := strconv.Atoi(strings.TrimPrefix(c.ID, "pid:"))
				if err != nil {
					t.Fatal(err)
				}
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		},
		Path:        func(p string) string { return "$HOLON_POD_DIR" + p },
		HostIP:      cfg.HostIP,
		IPReachable: true,
		LogBytesMax: int(cfg.LogBytesMax),
	}
}

func TestConformance(t *testing.T) {
	runtimetest.Conformance(t, func(t *testing.T) runtimetest.Fixture { return fixture(t, nil) })
}

// On a real LAN pods share the node's address.
func TestConformanceWithoutSubnet(t *testing.T) {
	runtimetest.Conformance(t, func(t *testing.T) runtimetest.Fixture {
		f := fixture(t, func(c *Config) { c.Subnet = netip.Prefix{} })
		f.PodPort = func(hostPort int) int { return hostPort }
		return f
	})
}

// daemon starts what it reads the name of, says so, and waits to be killed.
func daemon(dir string) int {
	signal.Ignore(unix.SIGTERM)
	path, _ := os.Executable()
	r, err := New(context.Background(), Config{Dir: dir, Shim: []string{path, "shim"}, HostIP: "127.0.0.1"})
	if err == nil {
		err = r.EnsurePod(context.Background(), runtime.Spec{ID: "daemonpod", Name: "daemonpod", Containers: []runtime.Container{
			{Name: "main", Command: []string{"/bin/sh", "-c", "echo begun; while :; do echo tick; sleep 0.1; done"}},
			{Name: "short", Command: []string{"/bin/sh", "-c", "sleep 1; exit 7"}},
		}})
	}
	fmt.Println("ready", err)
	select {}
}
