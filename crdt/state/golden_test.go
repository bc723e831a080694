package state

import (
	"encoding/json"
	"fmt"
	"testing"

	"holon/crdt"
	corpus "holon/testnet/golden"
)

func TestGoldenFormats(t *testing.T) {
	corpus.Check(t, corpus.Format{
		Name: "status.v1",
		Make: func(*testing.T) []byte { return fullStatus().Encode() },
		Read: func(b []byte) (string, error) {
			s, err := DecodeStatus(b)
			if err != nil {
				return "", err
			}
			return lines(s)
		},
	})
	corpus.Check(t, corpus.Format{
		Name: "registers.v1",
		Make: func(t *testing.T) []byte {
			w := &writer{replica: crdt.ReplicaID{1}}
			return w.record(t, crdt.UID{1}, map[string]string{
				SlotOwner: `"deployments.apps/default/web"`, SlotHome: `{"node":"n1","term":3}`, SlotStandIn: `{"node":"n2","basis":3}`,
				SlotRun: `{"revision":"0123456789","prev":"9876543210","nonce":4}`, "/later": `{"a":1}`,
				MemberName: `"n1"`, MemberChain: `"AQI="`, MemberAddrs: `["/ip4/127.0.0.1"]`, MemberLeft: `true`,
				"/spec/replicas": `2`, "/spec/template/spec/containers": `[{"image":"web:1","name":"a"}]`, "/metadata/labels/a~1b": `"c"`,
			}).Encode()
		},
		Read: func(b []byte) (string, error) {
			rec, err := crdt.Decode(b)
			if err != nil {
				return "", err
			}
			slot, _, err1 := DecodeSlot(MakeKey(Slots, "default", someUID+"-3"), rec)
			member, _, err2 := DecodeMember(MakeKey(Members, "", "peer"), rec)
			object, _, err3 := DecodeObject(rec)
			for _, err := range []error{err1, err2, err3} {
				if err != nil {
					return "", err
				}
			}
			spec, err := json.Marshal(object.Value["spec"])
			return fmt.Sprintf("slot %d of %s: home %s term %d, stand-in %s basis %d, revision %s, before %s, nonce %d\nmember %s named %s, chain %x, left %t, at %v\nspec %s\nlabel a/b of %v\n",
				slot.ID.Index, slot.Owner, slot.Home.Node, slot.Home.Term, slot.StandIn.Node, slot.StandIn.Basis, slot.Run.Revision, slot.Run.Prev, slot.Run.Nonce,
				member.Peer, member.Name, member.Chain, member.Left, member.Addrs, spec, object.Value["metadata"]), err
		},
	})
}

// lines is a value as JSON, one fact on each line.
func lines(v any) (string, error) {
	text, err := json.MarshalIndent(v, "", " ")
	return string(text), err
}
