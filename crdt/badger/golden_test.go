package badger

import (
	"fmt"
	"testing"

	"holon/testnet/golden"
)

func TestGoldenFormats(t *testing.T) {
	golden.Check(t, golden.Format{
		Name: "stored.v1",
		Make: func(*testing.T) []byte { return seal("r/configmaps/default/a", []byte("payload")) },
		Read: func(b []byte) (string, error) {
			payload, err := unseal("r/configmaps/default/a", b)
			return fmt.Sprintf("under r/configmaps/default/a: %q", payload), err
		},
	})
}

// FuzzUnseal: no panic, and nothing is read that seal would write otherwise.
func FuzzUnseal(f *testing.F) {
	f.Add("key", seal("key", []byte("payload")))
	f.Add("", []byte{1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, key string, b []byte) {
		payload, err := unseal(key, b)
		if err == nil && string(seal(key, payload)) != string(b) {
			t.Fatalf("%x is read as %x", b, payload)
		}
	})
}

// FuzzScanLog: no panic on any log, and an end inside of it.
func FuzzScanLog(f *testing.F) {
	f.Add(make([]byte, logHeader))
	f.Add(append(make([]byte, logHeader), 0x40, 0, 1, 1, 0, 'k', 'v', 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := scan("log", b)
		if err == nil && (s.end < 0 || s.end > len(b) || s.rest < 0) {
			t.Fatalf("%+v of %d bytes", s, len(b))
		}
		for rest := b; len(rest) > 0; {
			e, ok := parseEntry(rest)
			if !ok {
				break
			}
			if e.size <= 0 || e.size > len(rest) {
				t.Fatalf("an entry of %d bytes in %d", e.size, len(rest))
			}
			rest = rest[e.size:]
		}
	})
}
