package runtimetest

import (
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"holon/runtime"
)

func testPortTaken(h *harness) {
	port, release := h.TakePort(h.t)
	c := h.container("main", forever)
	c.Ports = []runtime.Port{{Name: "web", ContainerPort: h.PodPort(port), HostPort: port, Protocol: "TCP"}}
	spec := h.pod(c)
	err := h.rt.EnsurePod(h.ctx, spec)
	h.wantKind("a host port that another program has", err, runtime.PortTaken)
	if !strings.Contains(err.Error(), strconv.Itoa(port)) {
		h.t.Errorf("%q does not name the port", err)
	}
	if s, there := h.status(spec.ID); there && find(s, "main").State == runtime.Running {
		h.t.Errorf("the container runs without its port: %+v", s)
	}
	release()
	h.ensure(spec)
	h.awaitState(spec.ID, "main", 0, runtime.Running)

	rival := h.pod(c)
	err = h.rt.EnsurePod(h.ctx, rival)
	h.wantKind("a host port that another pod has", err, runtime.PortTaken)

	h.stop(spec.ID, 0)
	h.ensure(rival)
	h.awaitState(rival.ID, "main", 0, runtime.Running)
}

func testSharedNetwork(h *harness) {
	const script = `echo "$POD_IP $(readlink /proc/self/ns/net)"; exec sleep 1000`
	one, two := h.container("one", script), h.container("two", script)
	one.Env = []runtime.Env{{Name: "POD_IP", PodIP: true}}
	two.Env = one.Env
	spec := h.pod(one, two)
	h.ensure(spec)
	a, b := h.awaitLog(spec.ID, "one", "net:"), h.awaitLog(spec.ID, "two", "net:")
	if a != b {
		h.t.Fatalf("two containers of a pod see %q and %q", a, b)
	}
	s, _ := h.status(spec.ID)
	if ip, _, _ := strings.Cut(a, " "); ip != s.IP {
		h.t.Fatalf("the containers' address is %q, the status says %q", ip, s.IP)
	}
}

func testPodAnswers(h *harness) {
	if h.Serve == nil {
		h.t.Log("the fixture has no program that serves")
		return
	}
	port := h.freePort()
	inside := h.PodPort(port)
	command, image := h.Serve(inside)
	spec := h.pod(runtime.Container{
		Name: "main", Image: image, PullPolicy: "Never", Command: command,
		Env:   []runtime.Env{{Name: "POD_IP", PodIP: true}},
		Ports: []runtime.Port{{Name: "web", ContainerPort: inside, HostPort: port, Protocol: "TCP"}},
	})
	h.ensure(spec)
	s := h.await(spec.ID, "the pod has an address", func(s runtime.Status) bool { return s.IP != "" })
	addresses := []string{net.JoinHostPort(h.HostIP, strconv.Itoa(port))}
	if h.IPReachable {
		addresses = append(addresses, net.JoinHostPort(s.IP, strconv.Itoa(inside)))
	}
	for _, address := range addresses {
		var last string
		h.eventually("the pod answers on "+address, func() bool {
			last = fetch(address)
			return last == "hello\n"
		}, func() string { return last })
	}
}

func testDial(h *harness) {
	_, err := h.rt.Dial(h.ctx, "nosuchrun", 80)
	h.wantKind("a pod that is not there", err, runtime.NotFound)
	if h.Serve == nil {
		h.t.Log("the fixture has no program that serves")
		return
	}
	port := h.PodPort(h.freePort())
	command, image := h.Serve(port)
	spec := h.pod(runtime.Container{
		Name: "main", Image: image, PullPolicy: "Never", Command: command,
		Env:   []runtime.Env{{Name: "POD_IP", PodIP: true}},
		Ports: []runtime.Port{{Name: "web", ContainerPort: port, Protocol: "TCP"}},
	})
	h.ensure(spec)
	var last string
	h.eventually("the pod answers in its own network", func() bool {
		last = said(h.rt.Dial(h.ctx, spec.ID, port))
		return last == "hello\n"
	}, func() string { return last })
	_, err = h.rt.Dial(h.ctx, spec.ID, 1)
	h.wantKind("a port on which nothing listens", err, runtime.Failed)
}

// fetch reads what address says, or describes why it cannot.
func fetch(address string) string { return said(net.DialTimeout("tcp", address, time.Second)) }

// said is what a connection says, or why there is none.
func said(conn net.Conn, err error) string {
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	b, err := io.ReadAll(conn)
	if err != nil {
		return string(b) + err.Error()
	}
	return string(b)
}
