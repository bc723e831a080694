package process

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"holon/runtime"
)

// listenOrder is a port on which somebody is going to listen.
type listenOrder struct {
	Protocol string // "tcp" or "udp"
	IP       string
	Port     int
}

func (l listenOrder) address() string { return net.JoinHostPort(l.IP, strconv.Itoa(l.Port)) }

func (l listenOrder) String() string { return l.address() + "/" + l.Protocol }

// conflicts reports whether two listeners cannot be there at once.
func (l listenOrder) conflicts(m listenOrder) bool {
	a, b := netip.MustParseAddr(l.IP), netip.MustParseAddr(m.IP)
	return l.Protocol == m.Protocol && l.Port == m.Port && (a == b || a.IsUnspecified() || b.IsUnspecified())
}

// planPorts says what a container's ports mean on this node: where its program
// listens, and what its shim forwards to there.
//
// With an address per pod the program listens on containerPort of the pod's
// address, and the shim forwards hostPort of the node's. Without, the program
// itself listens on the node's address, so that both ports must be equal.
func planPorts(c runtime.Container, podIP, hostIP string, own bool) (listens []listenOrder, forwards []forwardOrder, err error) {
	for _, p := range c.Ports {
		protocol := strings.ToLower(p.Protocol)
		if protocol == "" {
			protocol = "tcp"
		}
		ip := p.HostIP
		if ip == "" {
			ip = hostIP
		}
		_, ipErr := netip.ParseAddr(ip)
		switch {
		case protocol != "tcp" && protocol != "udp":
			return nil, nil, fmt.Errorf("container %s: protocol %q of port %d is neither TCP nor UDP", c.Name, p.Protocol, p.ContainerPort)
		case p.ContainerPort < 1 || p.ContainerPort > 65535 || p.HostPort < 0 || p.HostPort > 65535:
			return nil, nil, fmt.Errorf("container %s: ports %d and %d are not both within 1 to 65535", c.Name, p.ContainerPort, p.HostPort)
		case ipErr != nil:
			return nil, nil, fmt.Errorf("container %s: hostIP: %w", c.Name, ipErr)
		case !own && p.HostPort != 0 && p.HostPort != p.ContainerPort:
			return nil, nil, fmt.Errorf("container %s: hostPort %d differs from containerPort %d, but a process listens on the node's own address, so both must be equal", c.Name, p.HostPort, p.ContainerPort)
		}
		inside := listenOrder{protocol, podIP, p.ContainerPort}
		if !own {
			inside.IP = ip
		}
		listens = append(listens, inside)
		if own && p.HostPort != 0 {
			forwards = append(forwards, forwardOrder{listenOrder{protocol, ip, p.HostPort}, inside})
		}
	}
	return listens, forwards, nil
}

// tryListen fails with PortTaken if l cannot be had now.
func (l listenOrder) tryListen() error {
	var err error
	if l.Protocol == "udp" {
		var c net.PacketConn
		if c, err = net.ListenPacket("udp", l.address()); err == nil {
			return c.Close()
		}
	} else {
		var s net.Listener
		if s, err = net.Listen("tcp", l.address()); err == nil {
			return s.Close()
		}
	}
	return portError(l, err)
}

// portError types the failure to listen on l.
func portError(l listenOrder, err error) error {
	e := &runtime.Error{Kind: runtime.Failed, Op: "listen", Err: fmt.Errorf("port %d (%v): %w", l.Port, l, err)}
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		e.Kind = runtime.PortTaken
		e.Err = fmt.Errorf("port %d (%v) is in use%s", l.Port, l, heldBy(l))
	case errors.Is(err, unix.EACCES):
		e.Kind = runtime.BadSpec
		e.Err = fmt.Errorf("port %d (%v) may not be used by holon's user: %w", l.Port, l, err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		e.Kind = runtime.PortTaken
		e.Err = fmt.Errorf("address %s is not one of this host: %w", l.IP, err)
	}
	return e
}

// socket is a listening socket of the host.
type socket struct {
	listenOrder
	inode string
}

func (s socket) wildcard() bool { return netip.MustParseAddr(s.IP).IsUnspecified() }

// by says whose socket it is.
func (s socket) by() string {
	if pid := socketOwner(s.inode); pid != 0 {
		return fmt.Sprintf("%s (pid %d)", processName(pid), pid)
	}
	return "another program"
}

// heldBy says who is in the way of l.
func heldBy(l listenOrder) string {
	for _, s := range sockets(l.Protocol, l.Port) {
		if s.conflicts(l) {
			return fmt.Sprintf(" by %s, which listens on %s", s.by(), s.address())
		}
	}
	return ""
}

// sockets lists who listens on a port (proc(5), /proc/net/tcp).
func sockets(protocol string, port int) []socket {
	const tcpListen, udpUnconnected = "0A", "07"
	want := tcpListen
	if protocol == "udp" {
		want = udpUnconnected
	}
	var out []socket
	for _, file := range []string{"/proc/net/" + protocol, "/proc/net/" + protocol + "6"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != want {
				continue
			}
			address, ok := parseProcAddress(f[1])
			if ok && int(address.Port()) == port {
				out = append(out, socket{listenOrder{protocol, address.Addr().Unmap().String(), port}, f[9]})
			}
		}
	}
	return out
}

// parseProcAddress reads "0100007F:1F90": 32-bit words in host byte order
// (little-endian on every platform that holon is built for), then the port.
func parseProcAddress(s string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(s, ":")
	raw, err1 := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err1 != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip, uint16(n)), ok
}

// explainPorts says, after a quick failure, if a declared port was in the way.
// A wildcard listener, or one on the pod's own address, surely was. One on
// another address only was if the program tried 0.0.0.0, which its last words
// tell.
func explainPorts(listens []listenOrder, podIP, words string) string {
	saysInUse := strings.Contains(strings.ToLower(words), "in use") || strings.Contains(words, "EADDRINUSE")
	for _, l := range listens {
		for _, s := range sockets(l.Protocol, l.Port) {
			if !s.conflicts(l) && !saysInUse {
				continue
			}
			what := ""
			if s.wildcard() {
				what = ", which is every address of this host"
			}
			return fmt.Sprintf("%s: port %d is in use by %s, which listens on %s%s; programs in this runtime must listen on $(POD_IP), here %s, not on 0.0.0.0",
				runtime.PortTaken, l.Port, s.by(), s.address(), what, podIP)
		}
	}
	return ""
}
