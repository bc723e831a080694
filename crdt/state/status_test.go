package state

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
)

var rewrite = flag.Bool("rewrite", false, "write what the tests make into testdata")

// golden compares with a file in testdata, or writes it.
func golden(t *testing.T, name string, have []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, have, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, have) {
		t.Errorf("%s differs (go test -rewrite accepts it):\n%s\nwant\n%s", name, have, want)
	}
}

// fullStatus has every field set.
func fullStatus() *NodeStatus {
	return &NodeStatus{
		Node: "n1", Epoch: 3, Seq: 9, Runtime: "podman", Version: "4.3.1", HostPortsOnly: true, Server: "https://127.77.1.1:6443", HostIP: "127.77.1.1",
		Allocatable: Resources{CPU: 4000, Memory: 8 << 30, Pods: 110}, Draining: true,
		Conditions: []Condition{{Type: "Ready", True: true, Reason: "HolonReady", Message: "holon runs pods here"}},
		Runs: []RunStatus{{
			Slot: SlotID{Workload: crdt.UID{1, 2}, Index: 7}, Run: "0123456789abcdef", Revision: "c53b4e53d2", Phase: Running, Ready: true, Warming: true, Created: "2026-01-02T03:04:04Z",
			Refused: "OutOfcpu", Message: "m", IP: "127.77.1.9", Started: "2026-01-02T03:04:05Z", Stopping: true, Namespace: "default", Name: "web-c53b4e53d2-abcde",
			Containers: []ContainerStatus{{
				Name: "c", ID: "f00", Image: "i", State: "terminated", Ready: true, Restarts: 2, Reason: "Error", Message: "m", ExitCode: 137,
				Started: "2026-01-02T03:04:05Z", Finished: "2026-01-02T03:04:06Z", Starting: true,
				Last: Termination{ExitCode: 3, Reason: "Error", Message: "m", Started: "2026-01-02T03:04:03Z", Finished: "2026-01-02T03:04:04Z", ID: "e99"},
			}},
			Init: []ContainerStatus{{
				Name: "init", ID: "f01", Image: "i", State: "terminated", Ready: true, Restarts: 1, Reason: "Completed", Message: "m", ExitCode: 1,
				Started: "2026-01-02T03:04:03Z", Finished: "2026-01-02T03:04:04Z", Starting: true,
				Last: Termination{ExitCode: 1, Reason: "Error", Message: "m", Started: "2026-01-02T03:04:01Z", Finished: "2026-01-02T03:04:02Z", ID: "e98"},
			}},
			Initializing: true,
		}},
		Copies: []SnapshotCopy{{
			UID: crdt.UID{5, 6}, State: CopyKept, Bytes: 4096, Objects: 17, Taken: "2026-01-02T03:04:05Z", Sum: [32]byte{7, 8}, Message: "m",
		}},
		OS: "linux", Arch: "amd64", Kernel: "6.1", HolonVersion: "v0", Profile: "edge", Replica: crdt.ReplicaID{3, 1: 4}, Wall: 1_767_323_045_000,
	}
}

// A field that this test forgets would be lost on the wire unnoticed.
func TestFullStatusIsFull(t *testing.T) {
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		if v.IsZero() && !strings.Contains(path, "UID") {
			t.Errorf("%s is not set", path)
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(path+"[]", v.Index(i))
			}
		}
	}
	walk("NodeStatus", reflect.ValueOf(*fullStatus()))
}

func TestStatusIsPinned(t *testing.T) {
	s := fullStatus()
	golden(t, "nodestatus.cbor.hex", []byte(hex.Dump(s.Encode())))
	back, err := DecodeStatus(s.Encode())
	if err != nil || !reflect.DeepEqual(s, back) {
		t.Errorf("%+v, %v", back, err)
	}
}

// A later version's fields are ignored, not refused.
func TestStatusOfALaterVersion(t *testing.T) {
	s, err := DecodeStatus([]byte{0xa3, 1, 0x61, 'n', 2, 1, 0x18, 99, 0x81, 5}) // {1: "n", 2: 1, 99: [5]}
	if err != nil || s.Node != "n" || s.Epoch != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestDecodeStatusIsBounded(t *testing.T) {
	many := &NodeStatus{Node: "n", Runs: make([]RunStatus, RunsMax)}
	if _, err := DecodeStatus(many.Encode()); err != nil {
		t.Errorf("%d runs: %v", RunsMax, err)
	}
	many.Runs = append(many.Runs, RunStatus{})
	deep := append(bytes.Repeat([]byte{0x81}, 50), 0)
	for name, data := range map[string][]byte{
		"too many runs":    many.Encode(),
		"nobody's":         (&NodeStatus{}).Encode(),
		"negative room":    (&NodeStatus{Node: "n", Allocatable: Resources{Memory: -1}}).Encode(),
		"nothing":          nil,
		"cut":              fullStatus().Encode()[:40],
		"with a tail":      append(fullStatus().Encode(), 0),
		"another type":     {0x01},
		"an array for ten": {0xa1, 12, 0x9a, 0xff, 0xff, 0xff, 0xff},
		"deep":             append([]byte{0xa2, 1, 0x61, 'n', 0x18, 99}, deep...),
		"short UID":        {0xa2, 1, 0x61, 'n', 12, 0x81, 0xa1, 1, 0xa1, 1, 0x50, 1, 2},
	} {
		if s, err := DecodeStatus(data); err == nil {
			t.Errorf("%s is read as %+v", name, s)
		}
	}
}

func TestNewer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) *NodeStatus {
			return &NodeStatus{Epoch: rapid.Uint64Range(0, 3).Draw(t, label), Seq: rapid.Uint64Range(0, 3).Draw(t, label)}
		}
		a, b, c := draw("a"), draw("b"), draw("c")
		same := a.Epoch == b.Epoch && a.Seq == b.Seq
		if a.Newer(b) && b.Newer(a) || same == (a.Newer(b) || b.Newer(a)) {
			t.Fatalf("%+v and %+v are not ordered", a, b)
		}
		if a.Newer(b) && b.Newer(c) && !a.Newer(c) {
			t.Fatal("not transitive")
		}
		if !a.Newer(nil) {
			t.Fatal("something is not newer than nothing")
		}
	})
}

func TestFind(t *testing.T) {
	s := fullStatus()
	if s.Find("0123456789abcdef") != &s.Runs[0] || s.Find("x") != nil || (*NodeStatus)(nil).Find("x") != nil {
		t.Error("Find finds wrongly")
	}
}

// FuzzDecodeStatus: no panic, and what is read is written and read alike.
func FuzzDecodeStatus(f *testing.F) {
	f.Add(fullStatus().Encode())
	f.Add((&NodeStatus{Node: "n"}).Encode())
	f.Add([]byte{0xa1, 12, 0x9a, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeStatus(data)
		if err != nil {
			return
		}
		again, err := DecodeStatus(s.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.Encode(), again.Encode()) {
			t.Fatalf("%+v\n%+v", s, again)
		}
		for i := range s.Runs {
			strict(t, StrayFace(s.Node, &s.Runs[i], false))
		}
		strict(t, NodeFace(NodeView{Node: Node{Name: "n"}, Status: s, Live: true}))
	})
}
