package live

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTokens lets nobody in with a token that is not good, and says why.
func TestTokens(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	at := func(name string) string { return filepath.Join(base, name) }
	joiner := func(name, token string) *daemon { return startDaemon(t, at(name), loneAddress(), nil, "--join", token) }
	first := startDaemon(t, at("first"), loneAddress(), nil).awaitUp()
	other := startDaemon(t, at("other"), loneAddress(), nil).awaitUp()

	once := first.must("token", "create")
	member := joiner("member", once).awaitUp()
	eventually(t, "the member is seen", func() error { return sees(first, "member") })
	joiner("second", once).fails("token")

	stale := first.must("token", "create", "--ttl", "1s")
	time.Sleep(1100 * time.Millisecond) // the only event is the passing of time
	joiner("late", stale).fails("expired")

	revoked := first.must("token", "create")
	list := strings.Split(first.must("token", "ls"), "\n")
	for _, line := range list[1:] {
		if !strings.Contains(line, "revoked") {
			first.must("token", "revoke", strings.Fields(line)[0])
		}
	}
	joiner("revoked", revoked).fails("revoked")

	joiner("forged", forge(t, first.must("token", "create"))).fails("token")
	joiner("cut", once[:len(once)-20]).fails("cut off")
	joiner("garbled", once[:40]+"A"+once[41:]).fails("garbled")
	joiner("nonsense", "hello").fails("not a join token")

	foreign := other.must("token", "create")
	member.stop()
	joiner("member", foreign).fails("belongs to", "another --data-dir")
	// Nothing of this did harm: it is a member as before.
	startDaemon(t, at("member"), member.ip, nil).awaitUp()
	eventually(t, "the member is back", func() error { return sees(first, "member") })
	for _, name := range []string{"second", "late", "revoked", "forged"} {
		if sees(first, name) == nil {
			t.Errorf("%s became a member", name)
		}
	}
}

// sees reports whether a daemon counts a node among its members.
func sees(d *daemon, name string) error {
	d.t.Helper()
	if r := d.ask("get", "node", name); r.code != 0 || !strings.Contains(r.out, "Ready") || strings.Contains(r.out, "NotReady") {
		return &unseen{r}
	}
	return nil
}

type unseen struct{ result }

func (u *unseen) Error() string { return u.String() }

// forge changes a token's secret and mends the checksum: base64url of length (2
// bytes), body, checksum. The secret is the last string of 32 bytes in the body.
func forge(t *testing.T, token string) string {
	t.Helper()
	prefix, text, _ := strings.Cut(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	end := 2 + int(binary.BigEndian.Uint16(b))
	at := bytes.LastIndex(b[:end], []byte{0x58, 0x20}) // CBOR: byte string of 32
	if at < 0 {
		t.Fatalf("no secret in %x", b)
	}
	b[at+2] ^= 1
	sum := sha256.Sum256(append([]byte("holon token checksum"), b[:end]...))
	copy(b[end:], sum[:])
	return prefix + "." + base64.RawURLEncoding.EncodeToString(b)
}

// TestSecondNodeSeesTheCluster starts two nodes on one LAN, which is a network
// namespace of its own: the second says that there is a cluster, and how to join.
func TestSecondNodeSeesTheCluster(t *testing.T) {
	t.Parallel()
	lan := exec.Command("unshare", "--net", "sh", "-ec",
		"ip link set lo up; ip link add lan type veth peer name far; ip link set far up; ip address add 10.9.9.1/24 dev lan; ip address add 10.9.9.2/24 dev lan; "+
			"ip link set lan multicast on up; ip route add default dev lan; echo ready; exec sleep 1000")
	said := new(words)
	lan.Stdout, lan.Stderr = said, said
	if err := lan.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lan.Process.Kill(); _ = lan.Wait() })
	eventually(t, "the network namespace is there", func() error {
		if !strings.Contains(said.String(), "ready") {
			return &unseen{result{out: said.String()}}
		}
		return nil
	})
	inside := func() []string { return []string{"nsenter", "--net=/proc/" + itoa(lan.Process.Pid) + "/ns/net"} }
	base := t.TempDir()
	first := startDaemon(t, filepath.Join(base, "first"), "10.9.9.1", inside()).awaitUp()
	second := startDaemon(t, filepath.Join(base, "second"), "10.9.9.2", inside())
	eventually(t, "the second node speaks of the cluster", func() error {
		text := second.words.String()
		if !strings.Contains(text, "there is a cluster on this network") || !strings.Contains(text, "holon token create") {
			return &unseen{result{out: text}}
		}
		return nil
	})
	_ = second.cmd.Process.Kill()
	<-second.exited

	// The addresses in the token are stale: mDNS finds the cluster all the same.
	token := first.must("token", "create")
	startDaemon(t, filepath.Join(base, "third"), "10.9.9.2", inside(), "--join", token).awaitUp()
	eventually(t, "the third is a member", func() error { return sees(first, "third") })
}

// TestDownAndLeave drains a node by `holon down`, brings it back, and takes one
// out for good.
func TestDownAndLeave(t *testing.T) {
	t.Parallel()
	n := up(t, 3, "process")
	n.deployWeb(3)
	if r := command(t, "", "down", "--data-dir", n.at("net", "n2")); r.code != 0 {
		t.Fatalf("holon down: %v", r)
	}
	if s := n.node("n2"); s.State != "down" {
		t.Errorf("n2 is %s after holon down", s.State)
	}
	eventually(t, "three replicas serve without n2", func() error { return n.served("n1", 3, "n2") })
	n.must("start", "n2")
	n.awaitServing("n2", 3)

	if r := command(t, "", "--socket", n.at("net", "n3", "holon.sock"), "node", "leave"); r.code != 0 {
		t.Fatalf("holon node leave: %v", r)
	}
	for _, node := range []string{"n1", "n2"} {
		n.awaitServing(node, 3)
		n.awaitOutput(node, "node/n1\nnode/n2", "get", "nodes", "-o", "name")
	}
	if r := n.testnet("start", "n3"); r.code == 0 && strings.Contains(n.on("n1", "get", "nodes", "-o", "name"), "n3") {
		t.Errorf("n3 is a member again after it left for good: %v", r)
	}
}
