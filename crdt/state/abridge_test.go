package state

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What is said in a status fits and can be read; what is cut is among the longest, and no
// more of it than half of what there was room for.
func TestAbridge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &NodeStatus{Node: "n"}
		for range rapid.IntRange(0, 12).Draw(t, "runs") {
			s.Runs = append(s.Runs, RunStatus{Init: make([]ContainerStatus, 1), Containers: make([]ContainerStatus, 2)})
		}
		var before []string
		for m := range s.messages() {
			unit := rapid.SampledFrom([]string{"", "word ", "\u00fc", "\x00"}).Draw(t, "unit")
			*m = strings.Repeat(unit, rapid.IntRange(0, 3000).Draw(t, "length"))
			before = append(before, *m)
		}
		s.Abridge()
		if _, err := DecodeStatus(s.Encode()); err != nil {
			t.Fatalf("the status cannot be read: %v", err)
		}
		sum, longest := 0, 0
		for m := range s.messages() {
			sum, longest = sum+len(*m), max(longest, len(*m))
		}
		if sum > MessagesMax || longest > MessageMax {
			t.Fatalf("%d bytes of messages, the longest has %d", sum, longest)
		}
		const character = 4 // bytes at most
		for m := range s.messages() {
			if cut := len(*m) < len(before[0]); cut && (len(*m) < longest-character || longest < MessageMax-character && sum < MessagesMax/2-character*len(before)) {
				t.Fatalf("%d bytes of %d are left; the longest has %d, all have %d", len(*m), len(before[0]), longest, sum)
			}
			before = before[1:]
		}
	})
}

func TestAbridgeReachesEveryMessage(t *testing.T) {
	s := fullStatus()
	for m := range s.messages() {
		*m = "\xff" + *m
	}
	s.Abridge()
	text, err := json.Marshal(s.Runs)
	if have, all := strings.Count(string(text), `"Message":"?m"`), strings.Count(string(text), `"Message":`); err != nil || have != all || have == 0 {
		t.Errorf("%d of %d messages are abridged: %s (%v)", have, all, text, err)
	}
}
