package libp2p

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"holon/p2p"
	"holon/p2p/cert"
	"holon/testnet/golden"
)

func TestGoldenFormats(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, 32))
	const cluster = "0123456789abcdef0123456789abcdef"
	record := addrRecord{Peer: string(cert.PeerIDOf(key.Public().(ed25519.PublicKey))), Boot: 3, Seq: 4, Addrs: []string{"/ip4/192.0.2.1/udp/4001/quic-v1"}}
	if err := record.sign(cluster, key); err != nil {
		t.Fatal(err)
	}
	sayRecords := func(rs []addrRecord) (string, error) {
		said := ""
		for _, r := range rs {
			if _, err := r.verify(cluster); err != nil {
				return "", err
			}
			said += fmt.Sprintf("%s boot %d seq %d at %v, signed\n", r.Peer, r.Boot, r.Seq, r.Addrs)
		}
		return said, nil
	}
	message := func(name string, body []byte) golden.Format {
		return golden.Format{
			Name: name,
			Make: func(t *testing.T) []byte {
				var b bytes.Buffer
				if err := c.writeFrame(&b, body); err != nil {
					t.Fatal(err)
				}
				return b.Bytes()
			},
			Read: func(b []byte) (string, error) {
				kind, body, err := c.readMessage(bufio.NewReader(bytes.NewReader(b)))
				return fmt.Sprintf("kind %d: %d bytes, from %.20q", kind, len(body), body), err
			},
		}
	}
	for _, f := range []golden.Format{
		message("message.v1", []byte("a frame")),
		message("message-zstd.v1", bytes.Repeat([]byte("holon"), 1000)),
		{
			Name: "addrrecords.v1",
			Make: func(*testing.T) []byte { return must(encodeRecords([]addrRecord{record})) },
			Read: func(b []byte) (string, error) {
				rs, err := decodeRecords(b)
				said, err2 := sayRecords(rs)
				return said, errors.Join(err, err2)
			},
		},
		{
			Name: "envelope.v1",
			Make: func(t *testing.T) []byte {
				id := must(record.verify(cluster))
				head := append([]byte{envelopeVersion}, id...)
				head = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(head, 3), 9)
				frame := []byte("a frame")
				return append(append(head, ed25519.Sign(key, broadcastSigned(cluster, head, frame))...), frame...)
			},
			Read: func(b []byte) (string, error) {
				e, err := openEnvelope(cluster, b)
				return fmt.Sprintf("from %s: %q, signed %t", e.origin, e.frame, e.verify()), err
			},
		},
		{
			Name: "peers.v1", Text: true,
			Make: func(*testing.T) []byte {
				return must(json.MarshalIndent(bookState{Version: bookVersion, Boot: 3, Listen: map[string]string{"/ip4/0.0.0.0/tcp/0": "/ip4/0.0.0.0/tcp/4001"}, Records: []addrRecord{record}}, "", " "))
			},
			Read: func(b []byte) (string, error) {
				s, err := decodeBook(b)
				said, err2 := sayRecords(s.Records)
				return fmt.Sprintf("boot %d, listens at %v\n%s", s.Boot, s.Listen, said), errors.Join(err, err2)
			},
		},
		{
			Name: "announcement.v1", Text: true,
			Make: func(t *testing.T) []byte {
				addrs := parseAddrs(record.Addrs)
				return []byte(strings.Join(announcement{cluster: cluster, peer: must(record.verify(cluster)), addrs: addrs, door: addrs}.text(), "\n") + "\nz=later\n")
			},
			Read: func(b []byte) (string, error) {
				a, ok := parseAnnouncement(strings.Split(strings.TrimSpace(string(b)), "\n"))
				return fmt.Sprintf("%t: peer %s of cluster %s at %v, door at %v", ok, a.peer, a.cluster, a.addrs, a.door), nil
			},
		},
		{
			Name: "joinframe.v1",
			Make: func(t *testing.T) []byte {
				var b bytes.Buffer
				if err := writeJoin(&b, []byte("a message")); err != nil {
					t.Fatal(err)
				}
				return b.Bytes()
			},
			Read: func(b []byte) (string, error) {
				got, err := readJoin(bytes.NewReader(b))
				return fmt.Sprintf("%q", got), err
			},
		},
	} {
		golden.Check(t, f)
	}
}

// A later version is refused in words, and one without a version read.
func TestVersionsOfTheBookAndTheAnnouncement(t *testing.T) {
	if _, err := decodeBook([]byte(`{"version":2}`)); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a later book: %v", err)
	}
	if s, err := decodeBook([]byte(`{"boot":7}`)); err != nil || s.Boot != 7 {
		t.Errorf("a book without a version: %+v, %v", s, err)
	}
	txt := []string{"c=0123456789abcdef0123456789abcdef", "p=" + string(cert.PeerIDOf(make(ed25519.PublicKey, 32)))}
	if _, ok := parseAnnouncement(txt); !ok {
		t.Error("an announcement without a version is not read")
	}
	if _, ok := parseAnnouncement(append(txt, "v=2")); ok {
		t.Error("an announcement of a later version is read")
	}
}

func FuzzAnnouncement(f *testing.F) {
	f.Add("v=1\nc=0123456789abcdef0123456789abcdef\na=/ip4/192.0.2.1/tcp/1")
	f.Fuzz(func(t *testing.T, text string) {
		a, ok := parseAnnouncement(strings.Split(text, "\n"))
		if ok && (a.peer == "" || len(a.addrs) > recordAddrsMax || len(a.door) > recordAddrsMax) {
			t.Fatalf("%+v", a)
		}
	})
}

func FuzzBook(f *testing.F) {
	f.Add([]byte(`{"version":1,"boot":1,"listen":{"a":"b"},"records":[{"Peer":"x","Boot":1,"Seq":1,"Addrs":[],"Sig":""}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeBook(b)
		if err != nil {
			return
		}
		for _, r := range s.Records {
			if _, err := r.verify(testCluster); err == nil {
				t.Fatal("a record out of nothing is signed")
			}
		}
	})
}

func FuzzReadJoin(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 7})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := readJoin(bytes.NewReader(b)); err == nil && len(got) > cert.JoinBytesMax {
			t.Fatalf("%d bytes", len(got))
		}
	})
}

// FuzzEnvelope: no message of strangers is taken for one of a member, and what opens is all
// that came.
func FuzzEnvelope(f *testing.F) {
	const cluster = "0123456789abcdef0123456789abcdef"
	good, err := os.ReadFile("testdata/golden/envelope.v1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:envelopeMin])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := openEnvelope(cluster, b)
		if err != nil {
			return
		}
		if e.verify() && !bytes.Equal(b, good) {
			t.Fatalf("a forged envelope opens: %q", b)
		}
		if len(e.frame) != len(b)-envelopeMin || len(e.frame) > p2p.BroadcastBytesMax {
			t.Fatalf("a frame of %d bytes in an envelope of %d", len(e.frame), len(b))
		}
	})
}
