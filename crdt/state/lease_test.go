package state

import (
	"fmt"
	"testing"

	"holon/crdt"
)

// leaseBytesMax is room for a Lease and for the last claims of the few who lost it.
const leaseBytesMax = 2 << 10

// Ten thousand renewals of a Lease, by one holder and by two who do not see each other,
// leave a record of the size that it had, and nothing to decide. What one side claims is
// never mixed with what the other does.
func TestALeaseDoesNotGrow(t *testing.T) {
	const renewals, sides = 10_000, 2
	key, uid := MakeKey(Leases, "default", "leader"), DerivedUID("lease")
	claim := func(who, n int) map[string]any {
		return map[string]any{"spec": map[string]any{
			"holderIdentity": fmt.Sprint("holder-", who), "leaseDurationSeconds": int64(15), "leaseTransitions": int64(who),
			"acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": fmt.Sprintf("2026-01-01T%02d:%02d:%02d.000000Z", n/3600, n/60%60, n%60),
		}}
	}
	var held [sides]*side
	for i := range held {
		held[i] = newSide(byte(i+1), nil)
	}
	largest := 0
	for n := range renewals {
		for i, s := range held {
			values, err := FlattenAs(Leases, claim(i, n))
			if err != nil {
				t.Fatal(err)
			}
			delta := values
			if live := s.rec.Live(); live != nil {
				delta = Changes(live.Registers, nil, values)
			}
			if err := s.set(uid, delta); err != nil {
				t.Fatal(err)
			}
			largest = max(largest, len(s.rec.Encode()))
		}
		if n%7 == 0 { // they see each other for a moment
			joined := crdt.Join(held[0].rec, held[1].rec)
			held[0].rec, held[1].rec = joined, joined
			if found := Conflicts(key, joined); len(found) > 0 {
				t.Fatalf("after %d renewals somebody has to decide %v", n, found)
			}
			obj, _, err := DecodeObject(joined)
			if err != nil {
				t.Fatal(err)
			}
			spec := obj.Value["spec"].(map[string]any)
			if spec["holderIdentity"] != fmt.Sprint("holder-", spec["leaseTransitions"]) {
				t.Fatalf("half of one claim and half of another: %v", spec)
			}
		}
	}
	if largest > leaseBytesMax {
		t.Errorf("the record has %d bytes after %d renewals, want %d at most", largest, renewals, leaseBytesMax)
	}
	t.Logf("%d bytes at most", largest)
}
