package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/state"
)

// keeper is a core alone with its disk, and the files beside that.
type keeper struct {
	*Core
	t     *rapid.T
	disk  memory
	files map[crdt.UID]bool
	dead  map[crdt.UID]bool
	order *CopyOrder
	now   Instant
	made  int
}

func newKeeper(t *rapid.T) *keeper {
	k := &keeper{t: t, disk: memory{}, files: map[crdt.UID]bool{}, dead: map[crdt.UID]bool{}, now: time.Hour}
	k.boot()
	return k
}

func (k *keeper) boot() {
	k.order = nil
	k.Core = k.disk.boot(k.t, k.epoch()+1)
	k.step(HostChanged{})
	var found []state.SnapshotCopy
	for _, uid := range slices.SortedFunc(maps.Keys(k.files), crdt.UID.Compare) {
		found = append(found, state.SnapshotCopy{UID: uid, State: state.CopyKept})
	}
	k.step(CopiesFound{Copies: found})
}

func (k *keeper) epoch() uint64 {
	if k.Core == nil {
		return 0
	}
	return k.cfg.Epoch
}

// step judges every order and every word.
func (k *keeper) step(ev Event) {
	k.now += time.Millisecond
	ready := k.Step(k.now, ev)
	k.disk.keep(ready)
	for _, o := range ready.Copies {
		switch {
		case k.order != nil:
			k.t.Fatalf("%+v is ordered while %+v is under way", o, *k.order)
		case o.Remove && !k.dead[o.UID]:
			k.t.Fatalf("%s is to be removed, and nobody has deleted it", o.UID)
		case !o.Remove && (k.files[o.UID] || len(k.files) >= state.SnapshotsMax):
			k.t.Fatalf("%s is to be written, and there are %d files, it among them: %v", o.UID, len(k.files), k.files[o.UID])
		}
		k.order = &o
	}
	for _, file := range k.status.own.Copies {
		if file.State == state.CopyKept && !k.files[file.UID] {
			k.t.Fatalf("%s is told of and is not there", file.UID)
		}
	}
}

func (k *keeper) create() {
	k.made++
	uid := crdt.UID{byte(k.made >> 8), byte(k.made), 1}
	spec := map[string]any{}
	if nodes := rapid.SampledFrom([]any{nil, []any{"n1"}, []any{"n2"}, []any{"n2", "n1"}}).Draw(k.t, "nodes"); nodes != nil {
		spec["nodes"] = nodes
	}
	registers, err := state.FlattenAs(state.Snapshots, map[string]any{"spec": spec})
	if err != nil {
		k.t.Fatal(err)
	}
	k.step(Asked{ID: 1, Op: Mutate{Key: state.MakeKey(state.Snapshots, "", fmt.Sprint("s", k.made)), Create: true, NewUID: uid, New: registers}})
}

func (k *keeper) remove() {
	all := k.snapshotsInOrder()
	if len(all) == 0 {
		return
	}
	s := rapid.SampledFrom(all).Draw(k.t, "which")
	k.dead[s.UID] = true
	k.step(Asked{ID: 1, Op: Mutate{Key: s.Key, UID: s.UID, Delete: true}})
}

// carryOut does what was ordered, or not: that may fail, and a crash may come before anybody is
// told.
func (k *keeper) carryOut() {
	if k.order == nil {
		return
	}
	o := *k.order
	file := state.SnapshotCopy{UID: o.UID}
	switch how := rapid.SampledFrom([]state.CopyState{state.CopyKept, state.CopyKept, state.CopyKept, state.CopyFailed, state.CopyRefused}).Draw(k.t, "how"); {
	case how == state.CopyKept && o.Remove:
		delete(k.files, o.UID)
	case o.Remove:
		file.State, file.Message = state.CopyKept, "it stays"
	case how == state.CopyKept:
		k.files[o.UID], file.State = true, how
	default:
		file.State, file.Message = how, "no"
	}
	if rapid.IntRange(0, 5).Draw(k.t, "crash") == 0 {
		k.boot()
		return
	}
	k.order = nil
	k.step(CopyEnded{Order: o, Copy: file})
}

// settle lets all succeed.
func (k *keeper) settle() {
	for range 200 {
		for k.order != nil {
			o := *k.order
			k.order = nil
			file := state.SnapshotCopy{UID: o.UID}
			if delete(k.files, o.UID); !o.Remove {
				k.files[o.UID], file.State = true, state.CopyKept
			}
			k.step(CopyEnded{Order: o, Copy: file})
		}
		k.now += time.Second
		k.step(Woke{})
	}
}

// Whatever is made and deleted, fails and crashes: only what was deleted goes, nothing is told
// of that is not there, and in the end everything that was asked for is kept, the oldest first,
// as far as there is room, and nothing else.
func TestCopiesAreKeptAndGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newKeeper(t)
		t.Repeat(map[string]func(*rapid.T){
			"create": func(*rapid.T) { k.create() }, "create2": func(*rapid.T) { k.create() },
			"remove": func(*rapid.T) { k.remove() }, "carry out": func(*rapid.T) { k.carryOut() }, "carry out 2": func(*rapid.T) { k.carryOut() },
			"boot": func(*rapid.T) { k.boot() },
			"wait": func(*rapid.T) { k.now += time.Second; k.step(Woke{}) },
		})
		k.settle()
		asked := 0
		for _, s := range k.snapshotsInOrder() {
			if !s.Asks("n1") {
				continue
			}
			if asked++; !k.files[s.UID] && len(k.files) < state.SnapshotsMax {
				t.Errorf("%s is not kept, beside %d others", s.Key, len(k.files))
			}
		}
		if want := min(asked, state.SnapshotsMax); len(k.files) != want {
			t.Errorf("%d files are kept of %d that were asked for", len(k.files), asked)
		}
		for uid := range k.files {
			if k.dead[uid] {
				t.Errorf("%s was deleted and is kept", uid)
			}
		}
	})
}

// A copy of a node that has just joined, and knows the Snapshot before all else, waits until
// that is here.
func TestACopyWaitsForASync(t *testing.T) {
	x := newCrowd(t, 3, state.Resources{CPU: 1000, Memory: 1 << 30, Pods: 10})
	x.Step(x.now, CopiesFound{})
	x.put(state.MakeKey(state.Snapshots, "", "s"), crdt.UID{1}, map[string]any{"spec": map[string]any{}})
	ordered := func() int { x.now += time.Second; return len(x.Step(x.now, Woke{}).Copies) }
	if n := ordered() + ordered(); n != 0 {
		t.Errorf("%d copies are ordered before anybody has told what it has", n)
	}
	x.sync.done = 1
	x.sync.pulls["p0001"] = &pull{heard: x.now + time.Hour}
	if n := ordered(); n != 0 {
		t.Errorf("%d copies are ordered while a pull goes on", n)
	}
	delete(x.sync.pulls, "p0001")
	if n := ordered(); n != 1 {
		t.Errorf("%d copies are ordered once all is here", n)
	}
}

// What is shown of the copies of all nodes.
func TestPhasesOfSnapshots(t *testing.T) {
	kept, writing, failed, waiting := state.CopyKept, state.CopyWriting, state.CopyFailed, state.CopyWaiting
	for _, c := range []struct {
		near, far []state.CopyState
		want      string
	}{
		{nil, nil, "Pending"},
		{[]state.CopyState{kept, kept}, nil, "Kept"},
		{[]state.CopyState{kept}, []state.CopyState{kept}, "Kept"},
		{[]state.CopyState{kept, writing}, nil, "Pending"},
		{[]state.CopyState{kept, waiting}, nil, "Pending"},
		{[]state.CopyState{kept, failed}, nil, "Partial"},
		{[]state.CopyState{kept}, []state.CopyState{waiting}, "Partial"},
		{[]state.CopyState{kept}, []state.CopyState{writing}, "Partial"},
		{[]state.CopyState{failed, state.CopyRefused}, nil, "Failed"},
		{[]state.CopyState{failed}, []state.CopyState{waiting}, "Failed"},
		{[]state.CopyState{failed, writing}, nil, "Pending"},
		{nil, []state.CopyState{waiting, waiting}, "Pending"},
	} {
		var copies []state.NodeCopy
		add := func(states []state.CopyState, near bool) {
			for _, s := range states {
				copies = append(copies, state.NodeCopy{InReach: near, SnapshotCopy: state.SnapshotCopy{State: s}})
			}
		}
		add(c.near, true)
		add(c.far, false)
		if got := state.SnapshotPhase(copies); got != c.want {
			t.Errorf("near %v, far %v: %s, want %s", c.near, c.far, got, c.want)
		}
	}
}

// Of a node that keeps as many as it may, what it does not say is that it refuses; of one that is
// out of reach, what it said last.
func TestWhatIsSaidOfOthersCopies(t *testing.T) {
	x := newCrowd(t, 4, state.Resources{CPU: 1000, Memory: 1 << 30, Pods: 10})
	s := crdt.UID{1}
	key := state.MakeKey(state.Snapshots, "", "s")
	x.put(key, s, map[string]any{"spec": map[string]any{"nodes": []any{"n0001", "n0002", "n0003", "gone"}}})
	full := make([]state.SnapshotCopy, state.SnapshotsMax)
	for i := range full {
		full[i] = state.SnapshotCopy{UID: crdt.UID{9, byte(i)}, State: state.CopyKept}
	}
	for node, files := range map[string][]state.SnapshotCopy{"n0001": full, "n0002": {{UID: s, State: state.CopyKept, Bytes: 7}}} {
		seq := x.statusOf(node).Seq + 1
		x.receiveStatus(x.members.byName[node].peer, &state.NodeStatus{Node: node, Epoch: 1, Seq: seq, Copies: files})
	}
	x.members.byName["n0002"].live, x.members.byName["n0003"].live = false, false
	said := func() (lines []string) {
		for _, c := range x.copiesOf(x.index.snapshots.byKey[key]) {
			lines = append(lines, fmt.Sprintf("%s %s %d: %s", c.Node, c.State, c.Bytes, cmp.Or(c.Message, "-")))
		}
		return lines
	}
	want := []string{
		"gone Failed 0: no member is called gone",
		"n0001 Refused 0: n0001 keeps 16 copies, and no more: delete a Snapshot",
		"n0002 Kept 7: the node is out of reach; this is what it said last",
		"n0003 Waiting 0: the node is out of reach, and has said nothing of it",
	}
	if got := said(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Copies for Snapshots that nobody knows are told of, as nothing else shows them; those of one
// that lost its name are told of beside those of the other.
func TestStrayCopiesAreToldOf(t *testing.T) {
	x := newCrowd(t, 3, state.Resources{CPU: 1000, Memory: 1 << 30, Pods: 10})
	known, loser, gone, stray := crdt.UID{1}, crdt.UID{2}, crdt.UID{3}, crdt.UID{4}
	key := state.MakeKey(state.Snapshots, "", "s")
	x.put(key, known, map[string]any{"spec": map[string]any{}})
	if err := x.set(key, known, map[string][]byte{state.ConflictPath(loser): nil}); err != nil {
		t.Fatal(err)
	}
	x.departed.add(gone)
	var files []state.SnapshotCopy
	for _, uid := range []crdt.UID{known, loser, gone, stray} {
		files = append(files, state.SnapshotCopy{UID: uid, State: state.CopyKept})
	}
	x.receiveStatus("p0001", &state.NodeStatus{Node: "n0001", Epoch: 1, Seq: 9, Copies: files})
	x.rest()
	if got := x.strayCopies(x.View().Members); len(got) != 1 || got[0] != (StrayCopy{"n0001", stray}) {
		t.Errorf("strays: %v", got)
	}
	said := x.copyOn("n0001", x.index.snapshots.byKey[key])
	if said.State != state.CopyKept || !slices.Equal(said.Also, []crdt.UID{loser}) {
		t.Errorf("%+v", said)
	}
}

// A status has to be read whatever the words of a file system are.
func TestMessagesOfCopiesAreBoundedText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := short(string(rapid.SliceOfN(rapid.Byte(), 0, 2*state.CopyMessageMax).Draw(t, "text")))
		if !utf8.ValidString(text) || len(text) > state.CopyMessageMax {
			t.Errorf("%d bytes: %q", len(text), text)
		}
	})
}
