package swim

import (
	"fmt"
	"testing"

	"holon/testnet/golden"
)

func TestGoldenFormats(t *testing.T) {
	kinds := []string{"ping", "ack", "pingreq", "vouch", "nack", "gossip"}
	for i, m := range samples() {
		golden.Check(t, golden.Format{
			Name: "swim-" + kinds[i] + ".v1",
			Make: func(*testing.T) []byte { return encode(&m) },
			Read: func(b []byte) (string, error) {
				m, err := decode(b, nil)
				return fmt.Sprintf("kind %d seq %d from %+v\nwait %v target %s inc %d epoch %d hold %v\nclaims %+v\n",
					m.kind, m.seq, m.sender, m.wait, m.target, m.inc, m.epoch, m.hold, m.claims), err
			},
		})
	}
}
