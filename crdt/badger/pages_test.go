package badger

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"holon/crdt"
)

// TestLetGoLosesNothing lets go of pages of tables, of logs and of what is not on
// disk yet, beside a store whose directory begins with the same name.
func TestLetGoLosesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	want := map[string]string{}
	fill := func(s *Store, round int) {
		for i := range 100 {
			kv := crdt.KV{Key: fmt.Sprintf("r/%d/%d", round, i), Value: []byte(strings.Repeat(fmt.Sprint(i), 10_000))}
			want[kv.Key] = string(kv.Value)
			commit(t, s, kv)
		}
	}
	s := open(t, dir)
	fill(s, 0)
	closeStore(t, s) // now there are tables
	s = open(t, dir)
	beside := open(t, dir+"2")
	fill(s, 1)
	own, others := s.letGo(), beside.letGo()
	wantContents(t, s, want)
	if own == 0 || others == 0 {
		t.Errorf("%d bytes of the store are mapped, %d of the one beside it", own, others)
	}
	fill(s, 2)
	s.letGo()
	closeStore(t, s)
	if again := s.letGo(); again != 0 {
		t.Errorf("%d bytes of a closed store are mapped", again)
	}
	wantContents(t, open(t, dir), want)
}
