package state

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
)

func drawUID(t *rapid.T) crdt.UID {
	return crdt.UID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uid"))
}

func drawSlotID(t *rapid.T) SlotID {
	return SlotID{Workload: drawUID(t), Index: rapid.IntRange(0, ReplicasMax-1).Draw(t, "index")}
}

func TestSlotIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := drawSlotID(t)
		back, err := ParseSlotID(id.String())
		if err != nil || back != id {
			t.Fatalf("%s -> %s, %v", id, back, err)
		}
		if err := SlotKey("default", id).Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

// A slot has one spelling: two keys for one slot would be two homes.
func TestParseSlotIDRefusesOtherSpellings(t *testing.T) {
	const uid = "01234567-89ab-cdef-0123-456789abcdef"
	for _, text := range []string{
		"", "-", uid, uid + "-", uid + "-x", uid + "--1", uid + "-+1", uid + "-01", uid + "-1 ", uid + "-281474976720656", uid + "-99999999999999999999",
		strings.ToUpper(uid) + "-1", "0" + uid + "-1", "x-1", uid + "-1/2",
	} {
		if id, err := ParseSlotID(text); err == nil {
			t.Errorf("%q is read as %s", text, id)
		}
	}
}

func TestKeyRoundTrip(t *testing.T) {
	for _, parts := range [][3]string{{Pods, "default", "web"}, {Nodes, "", "n1"}, {Slots, "a", "b-0"}} {
		key := MakeKey(parts[0], parts[1], parts[2])
		resource, namespace, name := key.Split()
		if [3]string{resource, namespace, name} != parts || key.Resource() != parts[0] || key.Validate() != nil {
			t.Errorf("%v -> %s -> %s %s %s", parts, key, resource, namespace, name)
		}
	}
	for _, bad := range []Key{"", "pods", "pods/x", "/x/y", "pods/x/", "pods/a/b/c", Key("pods/" + strings.Repeat("x", KeyBytesMax) + "/y")} {
		if bad.Validate() == nil {
			t.Errorf("%q is valid", bad)
		}
	}
}

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`) // RFC 1123

func TestPodNamesAreDNSLabels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		deployment := rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,80}[a-z0-9])?`).Draw(t, "deployment")
		run := MakeRunID(drawSlotID(t), "0123456789", "n1", rapid.Uint64().Draw(t, "nonce"))
		name := PodName(deployment+"-0123456789", run)
		if len(name) > 63 || !dnsLabel.MatchString(name) {
			t.Fatalf("pod name %q of %d bytes", name, len(name))
		}
		if len(deployment) <= 46 && !strings.HasPrefix(name, deployment+"-0123456789-") {
			t.Fatalf("pod name %q hides its ReplicaSet", name)
		}
	})
	cut := PodName(strings.Repeat("a", 55)+"--.-"+strings.Repeat("b", 40), "r")
	if !dnsLabel.MatchString(cut) || strings.Contains(cut, "--") {
		t.Errorf("a name cut at a dash is %q", cut)
	}
}

// Every part of what makes a run makes another run, and no two lists of parts
// run together.
func TestRunsDiffer(t *testing.T) {
	a := SlotID{Workload: crdt.UID{1}, Index: 1}
	seen := map[RunID]string{}
	for _, slot := range []SlotID{a, {Workload: crdt.UID{1}, Index: 11}, {Workload: crdt.UID{2}, Index: 1}} {
		for _, revision := range []string{"", "n", "r1", "r11"} {
			for _, node := range []string{"", "n", "n1", "1n1"} {
				for _, nonce := range []uint64{0, 1, 11} {
					what := fmt.Sprint(slot, revision, node, nonce)
					run := MakeRunID(slot, revision, node, nonce)
					if other, ok := seen[run]; ok {
						t.Errorf("%s and %s are one run", what, other)
					}
					if seen[run] = what; run != MakeRunID(slot, revision, node, nonce) || !regexp.MustCompile(`^[0-9a-v]{16}$`).MatchString(string(run)) {
						t.Errorf("run %q of %s", run, what)
					}
				}
			}
		}
	}
}

func TestIDsDoNotCollide(t *testing.T) {
	const slots = 5_000
	uids, runs := map[crdt.UID]bool{}, map[RunID]bool{}
	for i := range slots {
		slot := SlotID{Workload: crdt.UID{1}, Index: i}
		for _, node := range []string{"n1", "n2"} {
			run := MakeRunID(slot, "r", node, 0)
			runs[run], uids[PodUID(slot, run)] = true, true
		}
		uids[SlotUID(slot, crdt.Dot{Replica: crdt.ReplicaID{7}, Counter: 3})] = true
	}
	if len(runs) != 2*slots || len(uids) != 3*slots {
		t.Errorf("%d runs and %d UIDs of %d slots", len(runs), len(uids), slots)
	}
}

// What two sides of a partition derive must be the same in every version.
func TestDerivedIDsArePinned(t *testing.T) {
	slot := SlotID{Workload: crdt.UID{0: 0xab, 15: 1}, Index: 7}
	run := MakeRunID(slot, "0123456789", "n1", 3)
	have := fmt.Sprint(run, " ", PodName("web-0123456789", run), " ", PodUID(slot, run), " ", SlotUID(slot, crdt.Dot{Replica: crdt.ReplicaID{7}, Counter: 3}), " ", MemberUID("peer"), " ", RevisionHash(map[string]any{"a": 1}))
	if have != pinnedIDs {
		t.Errorf("derived IDs are\n%s, want\n%s", have, pinnedIDs)
	}
	if u := MemberUID("peer").String(); u[14] != '8' || !strings.Contains("89ab", u[19:20]) {
		t.Errorf("%s is no UUID of version 8 (RFC 9562)", u)
	}
}

const pinnedIDs = "qsmvro1oskmmlpq7 web-0123456789-ju3s9 2cb0d858-f4bf-8ba0-8b95-f4caa08ddf9a 8e7cce1b-bb60-86bd-ab4e-525186776327 9f8f0ab1-e67d-8e15-802e-7d9a7002cfd9 c53b4e53d2"
