package node

import (
	"encoding/binary"

	"holon/crdt"
	"holon/node/core"
)

// guard is a Store that keeps the mark in step with what is committed:
//
//	mark.Committed <= counter in m/high <= mark.Reserved
//	mark.seq       <= n/seq
//
// hold after a crash at any point, and do not in a database that was rolled back
// to before anything that was let out since.
type guard struct {
	Store
	dir string

	// turn is held through each commit: a channel and not a lock, because whoever
	// waits for a lock stops the virtual time of the shell's tests.
	turn chan struct{}
	mark mark
	seq  uint64 // of the last commit
}

// Commit raises the mark, commits, and confirms the mark, so that what is let
// out afterwards is covered by it. An error may have committed the batch; to
// commit it again is harmless.
func (g *guard) Commit(batch []crdt.KV) error {
	g.turn <- struct{}{}
	defer func() { <-g.turn }()
	reserved, reserves := core.Reserved(batch)
	if reserves && reserved > g.mark.Reserved {
		m := g.mark
		m.Reserved = reserved
		if err := g.put(m); err != nil {
			return err
		}
	}
	seq := g.seq + 1
	batch = append(batch[:len(batch):len(batch)], crdt.KV{Key: diskSeq, Value: binary.BigEndian.AppendUint64(nil, seq)})
	if err := g.Store.Commit(batch); err != nil {
		return err
	}
	g.seq, g.mark.seq = seq, seq
	if reserves && reserved != g.mark.Committed {
		m := g.mark
		m.Committed, m.Reserved = reserved, reserved
		return g.put(m)
	}
	return g.mark.note(g.dir)
}

func (g *guard) put(m mark) error {
	if err := m.write(g.dir); err != nil {
		return err
	}
	g.mark = m
	return nil
}
