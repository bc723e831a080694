package swim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

func encode(m *message) []byte {
	b := append(appendHead(nil, m), byte(len(m.claims)))
	for i := range m.claims {
		b = appendClaim(b, &m.claims[i])
	}
	return b
}

func samples() []message {
	s := sender{inc: 1001, epoch: 3, hold: 2 * time.Second, health: 1}
	claims := []claim{
		{state: Alive, id: "a", inc: 7, epoch: 1, hold: 30 * time.Second},
		{state: Suspect, id: "b", inc: 8, epoch: 2, by: "a", health: 4},
		{state: Unreachable, id: "c", inc: IncarnationMax, epoch: 2, by: "b"},
		{state: Left, id: ID(strings.Repeat("d", IDBytesMax)), inc: 1, epoch: 1},
	}
	return []message{
		{kind: kindPing, sender: s, seq: 1, claims: claims},
		{kind: kindAck, sender: s, seq: 300},
		{kind: kindPingReq, sender: s, seq: 4, wait: 75 * time.Millisecond, target: "x", claims: claims[:1]},
		{kind: kindVouch, sender: s, seq: 4, target: "x", inc: 9, epoch: 8, hold: time.Second},
		{kind: kindNack, sender: s, seq: 4},
		{kind: kindGossip, sender: sender{state: Left, inc: 1, epoch: 1}, claims: claims},
	}
}

func TestPacketsComeBackAsTheyWereWritten(t *testing.T) {
	for _, m := range samples() {
		got, err := decode(encode(&m), nil)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v\n became %+v, %v", m, got, err)
		}
	}
}

func TestTruncatedOrExtendedPacketsAreMalformed(t *testing.T) {
	for _, m := range samples() {
		b := encode(&m)
		for n := range b {
			if _, err := decode(b[:n], nil); err == nil {
				t.Errorf("kind %d: the first %d of %d bytes decode", m.kind, n, len(b))
			}
		}
		if _, err := decode(append(bytes.Clone(b), 0), nil); err == nil {
			t.Errorf("kind %d: a byte too many decodes", m.kind)
		}
	}
}

func TestWireLayoutStaysAsItIs(t *testing.T) {
	m := message{kind: kindPing, sender: sender{inc: 1001, epoch: 3, health: 2}, seq: 9, claims: []claim{
		{state: Suspect, id: "bob", inc: 5, epoch: 1, by: "eve", health: 1},
	}}
	const want = "01 01 00 e9 07 03 00 02 09 01 01 03 62 6f 62 05 01 03 65 76 65 01"
	if got := fmt.Sprintf("% x", encode(&m)); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// Full queues of long names must stay within the bounds of a packet.
func TestPiggybackIsBounded(t *testing.T) {
	for _, length := range []int{1, 2, 52, IDBytesMax} {
		var ids []ID
		for i := range 300 {
			ids = append(ids, ID(fmt.Sprintf("%0*d", max(length, 3), i)))
		}
		m, now := lone(t, LAN(), ids...)
		out := m.Tick(now)
		for range 50 {
			for _, p := range out.Send {
				if _, err := decode(p.Payload, nil); err != nil || len(p.Payload) > PacketBytesMax {
					t.Fatalf("%d bytes: %v", len(p.Payload), err)
				}
			}
			now = max(now, out.Wake)
			out = m.Tick(now)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range samples() {
		f.Add(encode(&m))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		b := make([]byte, r.IntN(60))
		for i := range b {
			b[i] = byte(r.IntN(8))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		msg, err := decode(b, nil)
		if err != nil {
			return
		}
		if len(msg.claims) < 128 {
			again, err := decode(encode(&msg), nil)
			if err != nil || !reflect.DeepEqual(again, msg) {
				t.Fatalf("%+v\nbecame %+v, %v", msg, again, err)
			}
		}
		m := New(Self{ID: "self", Incarnation: 3, Epoch: 1}, LAN(), 1)
		for _, id := range []ID{"a", "b", "c", "x"} {
			m.Join(0, id)
		}
		out := m.Receive(1, "a", b)
		for range 20 {
			if what := broken(m); what != "" {
				t.Fatal(what)
			}
			if out.Wake == Never {
				return
			}
			out = m.Tick(out.Wake)
		}
	})
}
