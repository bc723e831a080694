package crdt_test

import (
	"encoding/json"
	"testing"

	"holon/crdt"
)

func TestIDsAsText(t *testing.T) {
	const uidText, replicaText = "01234567-89ab-cdef-0123-456789abcdef", "0123456789abcdef0123456789abcdef"
	u, err := crdt.ParseUID(uidText)
	if err != nil || u.String() != uidText {
		t.Errorf("%s, %v", u, err)
	}
	both, err := json.Marshal(map[crdt.UID]crdt.ReplicaID{u: crdt.ReplicaID(u)})
	if want := `{"` + uidText + `":"` + replicaText + `"}`; err != nil || string(both) != want {
		t.Errorf("%s, want %s, %v", both, want, err)
	}
	var back map[crdt.UID]crdt.ReplicaID
	if err := json.Unmarshal(both, &back); err != nil || back[u] != crdt.ReplicaID(u) {
		t.Errorf("%v, %v", back, err)
	}
	if s := crdt.ReplicaID(u).String(); s != "01234567" {
		t.Error(s)
	}
	for _, bad := range []string{"", uidText[1:], uidText + "0", replicaText, "0123456x-89ab-cdef-0123-456789abcdef", "01234567089ab-cdef-0123-456789abcdef"} {
		if _, err := crdt.ParseUID(bad); err == nil {
			t.Errorf("ParseUID took %q", bad)
		}
		var r crdt.ReplicaID
		if bad != replicaText && r.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("ReplicaID took %q", bad)
		}
	}
}
