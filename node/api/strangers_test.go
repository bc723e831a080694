package api

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"slices"
	"testing"
	"time"

	"holon/node/api/rbac"
)

// everyMethod is what a stranger may try.
var everyMethod = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"}

var (
	routed = regexp.MustCompile(`handle\("[A-Z]+ "\+holonPath\+"([^"]+)"`)
	placed = regexp.MustCompile(`\{\w+\}`)
)

// everyPath is what discovery and the table of routes know, with names in their places, and
// what neither knows.
func everyPath(t *testing.T) (paths []string) {
	source, err := os.ReadFile("holon.go")
	check(t, err)
	for _, route := range routed.FindAllStringSubmatch(string(source), -1) {
		paths = append(paths, holonPath+placed.ReplaceAllString(route[1], "x"))
	}
	for _, gv := range groups() {
		paths = append(paths, "/apis/"+gv.Group, "/apis/"+gv.String(), "/openapi/v3/apis/"+gv.String())
	}
	paths = append(paths, "/api", "/apis", "/api/v1", "/version", "/healthz", "/livez", "/readyz", "/openapi/v2", "/openapi/v3")
	for _, k := range kinds {
		base := "/apis/" + k.GroupVersion().String() + "/"
		if k.Group == "" {
			base = "/api/v1/"
		}
		at := []string{base + k.plural}
		if k.namespaced {
			at = append(at, base+"namespaces/default/"+k.plural)
		}
		for _, collection := range at {
			paths = append(paths, collection, collection+"?watch=1", collection+"/x")
			for _, sub := range k.subresources {
				paths = append(paths, collection+"/x/"+sub.name)
			}
		}
	}
	for _, f := range refusals {
		paths = append(paths, "/apis/"+f.GroupVersion.String()+"/"+f.plural)
	}
	return append(paths, "/", "/metrics", "/debug/pprof/", "/api/v1/../v1/pods", "//api/v1/pods", "/testnet/x")
}

// TestNothingIsOpen walks all paths with all methods without a credential: what answers
// something else than 401, or is only looked up, is open to the world, and nothing is.
func TestNothingIsOpen(t *testing.T) {
	f := serve(t, func(c *Config) { c.TestControl = http.NotFoundHandler() })
	routes := f.server.handler
	f.server.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s of a stranger is looked up", r.Method, r.URL)
		routes.ServeHTTP(w, r)
	})
	stranger := f.anonymous()
	stranger.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	paths := everyPath(t)
	if len(paths) < 200 || !slices.Contains(paths, "/api/v1/namespaces/default/pods/x/exec") || !slices.Contains(paths, holonPath+"credentials") {
		t.Fatalf("only %d paths are known: %q", len(paths), paths)
	}
	before := len(f.backend.mutated)
	for _, path := range paths {
		for _, method := range everyMethod {
			r, err := http.NewRequestWithContext(f.ctx, method, f.url+path, nil)
			check(t, err)
			resp, err := stranger.Do(r)
			check(t, err)
			resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s answers %d to a stranger", method, path, resp.StatusCode)
			}
		}
	}
	if len(f.backend.mutated) != before {
		t.Errorf("a stranger has changed %v", f.backend.mutated[before:])
	}
}

// TestAForgedCertificate: the subject of a good one under another key, signed by itself or by
// another CA, opens nothing; nor does the certificate of somebody else without his key.
func TestAForgedCertificate(t *testing.T) {
	f := serve(t)
	good := f.credential(CredentialRequest{User: "eve", Groups: []string{AdminGroup}})
	pair, err := tls.X509KeyPair(good.Cert, good.Key)
	check(t, err)
	leaf := pair.Leaf
	other := must2(NewCA("test"))
	forged, key, err := other.issue(&x509.Certificate{
		SerialNumber: leaf.SerialNumber, Subject: leaf.Subject, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, ExtKeyUsage: leaf.ExtKeyUsage,
	})
	check(t, err)
	show := func(c tls.Certificate) (*http.Response, error) {
		client := f.anonymous()
		client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
		return client.Get(f.url + "/api/v1/pods")
	}
	resp, err := show(tls.Certificate{Certificate: [][]byte{forged}, PrivateKey: key})
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a certificate of another key is answered by %d", resp.StatusCode)
	}
	resp, err = show(tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key})
	if err == nil {
		resp.Body.Close()
		t.Errorf("a certificate without its key finishes a handshake, and is answered by %d", resp.StatusCode)
	}
}

// endless is a body that counts what was taken of it.
type endless struct{ left, taken int }

func (e *endless) Read(p []byte) (int, error) {
	n := min(len(p), e.left)
	e.left, e.taken = e.left-n, e.taken+n
	if n == 0 {
		return 0, io.EOF
	}
	for i := range p[:n] {
		p[i] = ' '
	}
	return n, nil
}

// TestALargeBodyIsNotRead: of 100 MB no more is taken than an object may have, and less of a
// stranger's.
func TestALargeBodyIsNotRead(t *testing.T) {
	f := serve(t)
	for _, c := range []struct {
		who    *http.Client
		code   int
		sizeOf int64
	}{{f.http, 413, 100 << 20}, {f.http, 413, -1}, {f.anonymous(), 401, 100 << 20}, {f.anonymous(), 401, -1}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		body := &endless{left: 100 << 20}
		r, err := http.NewRequestWithContext(f.ctx, "POST", f.url+"/api/v1/namespaces/default/configmaps", io.NopCloser(body))
		check(t, err)
		r.ContentLength = c.sizeOf
		resp, err := c.who.Do(r)
		check(t, err)
		resp.Body.Close()
		runtime.ReadMemStats(&after)
		if resp.StatusCode != c.code {
			t.Errorf("100 MB are answered by %d, want %d", resp.StatusCode, c.code)
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > 32<<20 {
			t.Errorf("100 MB, answered by %d, made this process allocate %d MiB", c.code, made>>20)
		}
	}
}

// TestOnePaceForAll: who sends without end is told to wait, who rests may send again, others
// are not held up, and who may do everything is not counted.
func TestOnePaceForAll(t *testing.T) {
	var p pace
	now := someday
	eve, ann, root := user{User: rbac.User{Name: "eve"}}, user{User: rbac.User{Name: "ann"}}, admin
	sent := func(u user) (n int) {
		for n < 10*rateBurst && p.take(u, now) == nil {
			n++
		}
		return n
	}
	if n := sent(eve); n != rateBurst {
		t.Errorf("a user sends %d requests at once, want %d", n, rateBurst)
	}
	if n := sent(ann); n != rateBurst {
		t.Errorf("another one sends %d at the same time", n)
	}
	if n := sent(root); n != 10*rateBurst {
		t.Errorf("the owner is stopped after %d", n)
	}
	now = now.Add(time.Second)
	if n := sent(eve); n != rateMax {
		t.Errorf("a second later a user sends %d, want %d", n, rateMax)
	}
	now = now.Add(-time.Hour)
	if n := sent(eve); n != 0 {
		t.Errorf("a clock that goes back gives a user %d", n)
	}
	now = now.Add(2 * time.Hour)
	for i := range 3 * pacesMax {
		check(t, p.take(user{User: rbac.User{Name: fmt.Sprint(i)}}, now))
		now = now.Add(time.Second)
	}
	if len(p.of) > pacesMax {
		t.Errorf("the pace of %d users is known, %d are enough", len(p.of), pacesMax)
	}
}

// TestThePaceIsAnAnswer says when to come back.
func TestThePaceIsAnAnswer(t *testing.T) {
	f := serve(t)
	eve := f.as("eve")
	f.server.pace.of = map[string]allowance{"eve": {at: time.Now().Add(time.Hour)}}
	a := f.doWith(eve, "GET", "/version", "").want(t, 429, "more than 500 requests a second")
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("headers %v", a.header)
	}
	f.do("GET", "/version", "").want(t, 200)
}

// TestTheDoorway: one address takes its share of the connections, the rest is for others, and
// who goes makes room.
func TestTheDoorway(t *testing.T) {
	const room = 4
	d := newDoorway(nil, room)
	at := func(text string) net.Addr { return must2(net.ResolveTCPAddr("tcp", text)) }
	in := func(host string) bool { _, ok := d.enter(at(host + ":1")); return ok }
	if !in("10.0.0.1") || !in("10.0.0.1") || in("10.0.0.1") {
		t.Error("an address has not its share")
	}
	if !in("10.0.0.2") || !in("10.0.0.3") || in("10.0.0.4") {
		t.Error("all have not the room that there is")
	}
	d.leave("10.0.0.1")
	if !in("10.0.0.1") {
		t.Error("who went has left no room")
	}
	for _, host := range []string{"10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3"} {
		d.leave(host)
	}
	if d.taken != 0 || len(d.of) != 0 {
		t.Errorf("of nobody it remembers %d, %v", d.taken, d.of)
	}
}

// TestAConnectionThatIsTooMuchIsClosed, and one that has ended makes room.
func TestAConnectionThatIsTooMuchIsClosed(t *testing.T) {
	l := must2(net.Listen("tcp", "127.0.0.1:0"))
	server := &httptest.Server{Listener: newDoorway(l, 2*shareMax), Config: &http.Server{Handler: http.NotFoundHandler()}}
	server.Start()
	defer server.Close()
	ask := func(c net.Conn) error {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	var open []net.Conn
	for range 2 {
		c := must2(net.Dial("tcp", l.Addr().String()))
		defer c.Close()
		check(t, ask(c))
		open = append(open, c)
	}
	more := must2(net.Dial("tcp", l.Addr().String()))
	defer more.Close()
	if ask(more) == nil {
		t.Error("a third connection of one address is answered")
	}
	open[0].Close()
	for {
		c := must2(net.Dial("tcp", l.Addr().String()))
		err := ask(c)
		c.Close()
		if err == nil {
			return // the server has seen by now that the first has ended
		}
	}
}

// TestIdleWatchesLeaveRoomForOthers: one who opens watches without end gets his share, and
// others are answered.
func TestIdleWatchesLeaveRoomForOthers(t *testing.T) {
	f := serve(t)
	const room = 20
	f.server.long = newSlots(room)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	eve, ann := f.as("eve", AdminGroup), f.as("ann", AdminGroup)
	open := func(client *http.Client) int {
		r, err := http.NewRequestWithContext(f.ctx, "GET", f.url+"/api/v1/pods?watch=1", nil)
		check(t, err)
		resp, err := client.Do(r)
		check(t, err)
		t.Cleanup(func() { resp.Body.Close() })
		return resp.StatusCode
	}
	codes := map[int]int{}
	for range 2 * room {
		codes[open(eve)]++
	}
	runtime.ReadMemStats(&after)
	t.Logf("%d watches of one user: %v, %d KiB of heap each with both sides", 2*room, codes, (after.HeapAlloc-before.HeapAlloc)>>10/(room/shareMax))
	if codes[200] != room/shareMax || codes[429] != 2*room-room/shareMax {
		t.Errorf("of %d watches that one user asks for %v are answered so", 2*room, codes)
	}
	if code := open(ann); code != 200 {
		t.Errorf("another user's watch is answered by %d", code)
	}
	f.doWith(eve, "GET", "/api/v1/pods", "").want(t, 200)
}
