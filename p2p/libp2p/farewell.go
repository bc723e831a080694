package libp2p

import (
	"bufio"
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// farewellTime bounds how long a departed peer is connected.
const farewellTime = 2 * time.Second

// sayFarewell tells a peer that dials, and has no say any more, why, and shuts it out.
// Nothing of it is heard, and no address of a member is told to it: to it this is a
// frame stream of a member whose first message is empty.
func (m *Mesh) sayFarewell(id peer.ID, frame []byte) {
	ctx, cancel := context.WithTimeout(m.ctx, farewellTime)
	defer cancel()
	if err := m.writeFarewell(ctx, id, frame); err != nil {
		m.log.Debug("a departed peer was not told so", "peer", id, "error", err)
	}
	<-ctx.Done() // a connection that ends may take with it what was just sent
	if m.gate.isMember(id) {
		return // it was let in again meanwhile
	}
	if err := m.end.net.ClosePeer(id); err != nil {
		m.log.Debug("close connections", "peer", id, "error", err)
	}
}

func (m *Mesh) writeFarewell(ctx context.Context, id peer.ID, frame []byte) error {
	s, err := m.openStream(ctx, id, frameProtocol)
	if err != nil {
		return err
	}
	if err := s.SetWriteDeadline(time.Now().Add(farewellTime)); err != nil {
		return err
	}
	w := bufio.NewWriter(s)
	nobody, err := encodeRecords([]addrRecord{})
	if err != nil {
		return err
	}
	if err := writeMessage(w, kindRecords, nobody); err != nil {
		return err
	}
	if err := m.codec.writeFrame(w, frame); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return s.CloseWrite()
}
