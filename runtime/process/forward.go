package process

import (
	"io"
	"net"
	"sync"
	"time"
)

// forwardOrder is a host port that the shim carries to the pod's address for
// as long as the container runs.
type forwardOrder struct {
	Listen, Target listenOrder
}

// listen begins to forward. The goroutines end with the shim.
func (f forwardOrder) listen() error {
	if f.Listen.Protocol == "udp" {
		conn, err := net.ListenPacket("udp", f.Listen.address())
		if err != nil {
			return err
		}
		go f.carryUDP(conn)
		return nil
	}
	l, err := net.Listen("tcp", f.Listen.address())
	if err != nil {
		return err
	}
	go f.carryTCP(l)
	return nil
}

// carryTCP takes connections, at most forwardConnsMax at once: further ones
// wait in the kernel's queue.
func (f forwardOrder) carryTCP(l net.Listener) {
	slots := make(chan struct{}, forwardConnsMax)
	for {
		slots <- struct{}{}
		conn, err := l.Accept()
		if err != nil {
			<-slots
			// Out of file descriptors, for one; the next connection may do.
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go func() {
			defer func() { <-slots }()
			f.carryConn(conn.(*net.TCPConn))
		}()
	}
}

func (f forwardOrder) carryConn(client *net.TCPConn) {
	defer client.Close()
	c, err := net.DialTimeout("tcp", f.Target.address(), 5*time.Second)
	if err != nil {
		client.SetLinger(0) // the client sees a reset, as from a closed port
		return
	}
	server := c.(*net.TCPConn)
	defer server.Close()
	var wg sync.WaitGroup
	half := func(to, from *net.TCPConn) {
		io.Copy(to, from)
		to.CloseWrite()
	}
	wg.Go(func() { half(server, client) })
	wg.Go(func() { half(client, server) })
	wg.Wait()
}

// carryUDP keeps one socket per client, so that answers find their way back.
func (f forwardOrder) carryUDP(conn net.PacketConn) {
	var mu sync.Mutex
	sessions := map[string]net.Conn{}
	buf := make([]byte, 64<<10)
	for {
		n, client, err := conn.ReadFrom(buf)
		if err != nil {
			time.Sleep(10 * time.Millisecond) // an ICMP error of a former answer, for one
			continue
		}
		key := client.String()
		mu.Lock()
		server := sessions[key]
		if server == nil && len(sessions) < forwardSessionsMax {
			if server, err = net.Dial("udp", f.Target.address()); err == nil {
				sessions[key] = server
				go func() {
					answerUDP(conn, client, server)
					mu.Lock()
					delete(sessions, key)
					mu.Unlock()
				}()
			} else {
				server = nil
			}
		}
		mu.Unlock()
		if server != nil {
			server.SetReadDeadline(time.Now().Add(forwardSessionIdle))
			server.Write(buf[:n])
		}
	}
}

// answerUDP carries answers to one client until none has come for a while.
func answerUDP(conn net.PacketConn, client net.Addr, server net.Conn) {
	defer server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		conn.WriteTo(buf[:n], client)
		server.SetReadDeadline(time.Now().Add(forwardSessionIdle))
	}
}
