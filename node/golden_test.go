package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holon/crdt"
	"holon/crdt/seal"
	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
	"holon/p2p/cert"
	"holon/runtime"
	"holon/testnet/golden"
)

func goldenIdentity(t *testing.T) []byte {
	c := newIdentity(t, 1)
	c.CACert, c.CAKey, c.DataKeys = []byte("cert"), []byte("key"), [][]byte{bytes.Repeat([]byte{7}, seal.KeySize)}
	c.Known = []p2p.Member{{ID: c.Peer(), Addrs: []string{"/ip4/192.0.2.1/tcp/1"}}}
	c.later = map[string]json.RawMessage{"later": json.RawMessage(`{"a":1}`)}
	text, err := c.encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newIdentity(t *testing.T, n byte) Identity {
	c := clusterKey()
	id := Identity{Name: fmt.Sprintf("n%d", n), Key: nodeKey(n), Cluster: testCluster, ClusterKey: c.Public().(publicKey)}
	chain, err := cert.Issue(c, nil, cert.Request{Cluster: testCluster, Name: id.Name, PublicKey: id.Key.Public().(publicKey), Introducer: true})
	if err != nil {
		t.Fatal(err)
	}
	if id.Chain, err = chain.Encode(); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestGoldenFormats(t *testing.T) {
	for _, f := range []golden.Format{
		{
			Name: "identity.v1", Text: true, Make: goldenIdentity,
			Read: func(b []byte) (string, error) {
				id, err := decodeIdentity(b)
				return fmt.Sprintf("%s, peer %s, of cluster %s\nCA %q %q, data keys %x\nknows %v\n", id.Name, id.Peer(), id.Cluster, id.CACert, id.CAKey, id.DataKeys, id.Known),
					errors.Join(err, id.check("the file"))
			},
			Again: func(b []byte) ([]byte, error) {
				id, err := decodeIdentity(b)
				again, err2 := id.encode()
				return again, errors.Join(err, err2)
			},
		},
		{
			Name: "mark.v1", Text: true,
			Make: func(*testing.T) []byte {
				m := mark{DB: testCluster, Replica: crdt.ReplicaID{1}, Epoch: 7, Committed: 4096, Reserved: 8192, Machine: Machine{"machine-id": "m"}, Inode: 12, seq: 99}
				return m.encode()
			},
			Read: func(b []byte) (string, error) {
				m, err := decodeMark(b)
				return fmt.Sprintf("database %s of replica %s, boot %d\ncounter %d to %d, batch %d\non %v, inode %d\n", m.DB, m.Replica, m.Epoch, m.Committed, m.Reserved, m.seq, m.Machine, m.Inode), err
			},
		},
		{
			Name: "known.v1", Text: true,
			Make: func(t *testing.T) []byte {
				text, err := json.Marshal(known{Version: knownFormat, Members: []p2p.Member{{ID: "p", Addrs: []string{"/ip4/192.0.2.1/tcp/1"}}}})
				if err != nil {
					t.Fatal(err)
				}
				return text
			},
			Read: func(b []byte) (string, error) {
				members, err := decodeKnown(b)
				return fmt.Sprintf("members %v\n", members), err
			},
		},
		{
			Name: "session.v1",
			Make: func(t *testing.T) []byte {
				line, err := json.Marshal(sessionRequest{Run: "r1", Container: "app", Logs: &runtime.LogOptions{Tail: 5, Follow: true}, Command: []string{"sh"}, TTY: true, Stdin: true, Actor: api.Actor{User: "u"}})
				if err != nil {
					t.Fatal(err)
				}
				b := append(line, '\n')
				b = append(b, frameStdout, 0, 0, 0, 2, 'h', 'i', frameResult, 0, 0, 0, 14)
				return append(b, `{"exitCode":3}`...)
			},
			Read: func(b []byte) (string, error) {
				line, rest, _ := bytes.Cut(b, []byte("\n"))
				var req sessionRequest
				err := json.Unmarshal(line, &req)
				r := bytes.NewReader(rest)
				_, out, err1 := readFrame(r)
				_, end, err2 := readFrame(r)
				var result sessionResult
				err3 := json.Unmarshal(end, &result)
				return fmt.Sprintf("run %s container %s logs %+v command %v tty %t stdin %t user %s\nstdout %q\nexit code %d\n",
					req.Run, req.Container, *req.Logs, req.Command, req.TTY, req.Stdin, req.User, out, result.ExitCode), errors.Join(err, err1, err2, err3)
			},
		},
		{
			Name: "datakey.v1",
			Make: func(t *testing.T) []byte {
				id := newIdentity(t, 1)
				key := seal.Key{7}
				registers, err := wrapFor(key, []p2p.PeerID{id.Peer()})
				if err != nil {
					t.Fatal(err)
				}
				w := crdt.Write{Dot: crdt.Dot{Replica: crdt.ReplicaID{1}, Counter: 1}, Stamp: crdt.Stamp{Time: 5, Replica: crdt.ReplicaID{1}}}
				rec, err := (*crdt.Record)(nil).Set(dataKeyUID(key.ID()), w, registers)
				if err != nil {
					t.Fatal(err)
				}
				return rec.Encode()
			},
			Read: func(b []byte) (string, error) {
				rec, err := crdt.Decode(b)
				if err != nil {
					return "", err
				}
				id := newIdentity(t, 1)
				k, err := newKeyring(nil)
				if err != nil {
					return "", err
				}
				taken, err := k.follow(core.Change{Key: dataKeyName(seal.Key{7}.ID()), Record: rec}, id.Key, id.Peer())
				newest, _ := k.newest()
				return fmt.Sprintf("%s, born at %d, taken %t", newest, k.known[newest.ID()].born.Time, taken), err
			},
		},
	} {
		golden.Check(t, f)
	}
}

// An identity of holon 0.1 has no version and no data keys; one of a later
// version is refused in words.
func TestVersionsOfTheIdentity(t *testing.T) {
	dir := t.TempDir()
	id := newIdentity(t, 1)
	fields, err := id.fields()
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{"": "", "1": "", "2": "version 2"} {
		delete(fields, "version")
		if version != "" {
			fields["version"] = json.RawMessage(version)
		}
		text, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, identityFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = LoadIdentity(dir)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("version %q: %v", version, err)
		}
	}
}

func FuzzIdentity(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"n","dataKeys":["AA=="],"later":[1]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := decodeIdentity(b)
		if err != nil {
			return
		}
		_ = id.check("the file")
		again, err := id.encode()
		if err != nil {
			t.Fatal(err)
		}
		other, err := decodeIdentity(again)
		if err != nil || len(other.later) != len(id.later) {
			t.Fatalf("%s became %s, %v", b, again, err)
		}
	})
}

// FuzzKnown: members out of nothing are never more than the file names, and known
// once.
func FuzzKnown(f *testing.F) {
	f.Add([]byte(`{"version":1,"members":[{"ID":"p","Name":"n","Addrs":["/ip4/192.0.2.1/udp/1/quic-v1"]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		members, err := decodeKnown(b)
		if err != nil {
			return
		}
		if all := alsoKnown(members, members); len(all) != len(members) {
			t.Fatalf("%d members became %d", len(members), len(all))
		}
	})
}

func FuzzSessionFrame(f *testing.F) {
	f.Add([]byte{frameStdin, 0, 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, payload, err := readFrame(bytes.NewReader(b)); err == nil && len(payload) > sessionFrameMax {
			t.Fatalf("%d bytes", len(payload))
		}
	})
}

// FuzzDataKeyRecord: any register under any name does no harm, and no key comes
// out of it but one that was wrapped for us.
// FuzzSessionRequest: whatever a member asks for, it is a session of one kind, of which a user
// of no rights gets none.
func FuzzSessionRequest(f *testing.F) {
	f.Add([]byte(`{"run":"r","container":"c","command":["id"],"user":"eve","groups":["devs"],"namespace":"default","pod":"p"}`))
	f.Add([]byte(`{"run":"r","logs":{"Tail":1},"port":80,"attach":true,"user":"eve"}`))
	n := &Node{cfg: Config{Cache: api.NewCache(1, 1, nil)}}
	n.access = api.NewAccess(n.cfg.Cache, func() (time.Time, bool) { return time.Time{}, false })
	f.Fuzz(func(t *testing.T, line []byte) {
		var req sessionRequest
		if json.Unmarshal(line, &req) != nil {
			return
		}
		if _, _, err := n.mayUse(t.Context(), &req); err == nil {
			t.Fatalf("%s for %+v of a node without pods", req.what(), req)
		}
		_, over, err := n.access.Use(t.Context(), req.Actor, req.Namespace, req.Pod, req.what())
		if over(); err == nil && !slices.Contains(req.Groups, api.AdminGroup) {
			t.Fatalf("%+v may %s", req.Actor, req.what())
		}
	})
}

func FuzzDataKeyRecord(f *testing.F) {
	f.Add("00112233445566aa", "/wrapped/p", []byte(`"AQ=="`))
	f.Fuzz(func(t *testing.T, name, path string, value []byte) {
		w := crdt.Write{Dot: crdt.Dot{Replica: crdt.ReplicaID{1}, Counter: 1}, Stamp: crdt.Stamp{Time: 5, Replica: crdt.ReplicaID{1}}}
		rec, err := (*crdt.Record)(nil).Set(crdt.UID{1}, w, map[string][]byte{path: value})
		if err != nil {
			return
		}
		k, err := newKeyring(nil)
		if err != nil {
			t.Fatal(err)
		}
		if taken, _ := k.follow(core.Change{Key: state.MakeKey(state.DataKeys, "", name), Record: rec}, nodeKey(1), "p"); taken {
			t.Fatal("a key came out of nothing")
		}
		k.duty([]p2p.PeerID{"p"})
	})
}
