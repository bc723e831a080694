package node

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"sync"
	"time"

	"holon/node/api"
	"holon/node/core"
	"holon/p2p"
)

// A question to a node is one JSON document each way on a stream of its own.
const (
	answerTimeout  = 2 * time.Second
	answerBytesMax = 4 << 20
)

// askPeer puts a question to another node.
func askPeer[Answer any](ctx context.Context, n *Node, peer p2p.PeerID, protocol string, question any) (answer Answer, err error) {
	s, err := n.mesh.Open(ctx, peer, protocol)
	if err != nil {
		return answer, err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, s.Reset)()
	if err := json.NewEncoder(s).Encode(question); err != nil {
		return answer, err
	}
	_ = s.CloseWrite() // the other side reads no further than the question
	err = json.NewDecoder(io.LimitReader(s, answerBytesMax)).Decode(&answer)
	return answer, err
}

// answerPeers answers questions of other nodes.
func answerPeers[Question, Answer any](n *Node, protocol string, answer func(context.Context, Question) (Answer, error)) {
	n.mesh.Handle(protocol, func(ctx context.Context, _ p2p.PeerID, s p2p.Stream) {
		defer s.Close()
		var q Question
		if json.NewDecoder(io.LimitReader(s, requestMax)).Decode(&q) != nil {
			return
		}
		if a, err := answer(ctx, q); err == nil {
			_ = json.NewEncoder(s).Encode(a)
		} else {
			s.Reset()
		}
	})
}

// askOthers calls ask for every other member at once, and names those that are out of
// reach or fail. What ask does with an answer is done by one at a time.
func (n *Node) askOthers(ask func(core.MemberView) (use func(), err error)) (missing []string) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, m := range n.view.Load().Members {
		if m.Name == n.cfg.Identity.Name || m.State == "left" {
			continue
		}
		all.Go(func() {
			use, err := func() {}, api.ErrUnreachable
			if m.InReach() {
				use, err = ask(m)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				missing = append(missing, m.Name)
				return
			}
			use()
		})
	}
	all.Wait()
	slices.Sort(missing)
	return missing
}
