package seal

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
)

var (
	keys = rapid.Custom(func(t *rapid.T) Key {
		k, err := MakeKey(rapid.SliceOfN(rapid.Byte(), KeySize, KeySize).Draw(t, "key"))
		if err != nil {
			t.Fatal(err)
		}
		return k
	})
	places = rapid.Custom(func(t *rapid.T) Place {
		p := Place{Key: rapid.String().Draw(t, "record"), Path: rapid.String().Draw(t, "path")}
		copy(p.UID[:], rapid.SliceOfN(rapid.Byte(), len(p.UID), len(p.UID)).Draw(t, "uid"))
		return p
	})
	values = rapid.SliceOfN(rapid.Byte(), 0, 300)
)

func ring(keys ...Key) func(ID) (Key, bool) {
	return func(id ID) (Key, bool) {
		i := slices.IndexFunc(keys, func(k Key) bool { return k.ID() == id })
		if i < 0 {
			return Key{}, false
		}
		return keys[i], true
	}
}

func TestSealOpens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, other, at, value := keys.Draw(t, "k"), keys.Draw(t, "other"), places.Draw(t, "at"), values.Draw(t, "value")
		sealed := Seal(k, at, value)
		if len(sealed) != len(value)+Overhead {
			t.Fatalf("%d bytes became %d", len(value), len(sealed))
		}
		if id, err := KeyOf(sealed); err != nil || id != k.ID() {
			t.Fatalf("sealed with %v, %v", id, err)
		}
		got, err := Open(sealed, at, ring(other, k))
		if err != nil || !bytes.Equal(got, value) {
			t.Fatalf("opened %q, %v", got, err)
		}
		if !bytes.Equal(sealed, Seal(k, at, value)) {
			t.Fatal("writing the same value again is a change")
		}
		if len(value) >= 8 && bytes.Contains(sealed, value) {
			t.Fatal("the value is readable")
		}
	})
}

// TestSealHidesEquality: whatever is equal elsewhere shares nothing here but what
// names the key.
func TestSealHidesEquality(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, at, value := keys.Draw(t, "k"), places.Draw(t, "at"), values.Draw(t, "value")
		elsewhere := places.Filter(func(p Place) bool { return p != at }).Draw(t, "elsewhere")
		a, b := Seal(k, at, value), Seal(k, elsewhere, value)
		if bytes.Equal(a[1+len(ID{}):headSize], b[1+len(ID{}):headSize]) {
			t.Fatal("equal values in two places have one nonce")
		}
		if bytes.Equal(a[headSize:], b[headSize:]) {
			t.Fatal("equal values in two places look alike")
		}
	})
}

func TestTamperedDoesNotOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, at, value := keys.Draw(t, "k"), places.Draw(t, "at"), values.Draw(t, "value")
		sealed := Seal(k, at, value)
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "byte")
		sealed[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		if got, err := Open(sealed, at, ring(k)); err == nil {
			t.Fatalf("byte %d changed, and it opens to %q", i, got)
		}
		if _, err := Open(Seal(k, at, value)[:rapid.IntRange(0, Overhead+len(value)-1).Draw(t, "cut")], at, ring(k)); err == nil {
			t.Fatal("a cut value opens")
		}
	})
}

func TestMovedDoesNotOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, at, value := keys.Draw(t, "k"), places.Draw(t, "at"), values.Draw(t, "value")
		to := at
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0:
			to.Path += "x"
		case 1:
			to.Key += "x"
		case 2:
			to.UID[rapid.IntRange(0, len(to.UID)-1).Draw(t, "i")] ^= 1
		case 3: // the same text, cut elsewhere
			to.Key, to.Path = at.Key+"x", at.Path
			at.Path = "x" + at.Path
		}
		if _, err := Open(Seal(k, at, value), to, ring(k)); !errors.Is(err, ErrTampered) {
			t.Fatalf("moved from %v to %v: %v", at, to, err)
		}
	})
}

func TestLocked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, other, at := keys.Draw(t, "k"), keys.Draw(t, "other"), places.Draw(t, "at")
		if k == other {
			t.Skip("one key")
		}
		_, err := Open(Seal(k, at, nil), at, ring(other))
		var locked *LockedError
		if !errors.As(err, &locked) || locked.Key != k.ID() || !strings.Contains(err.Error(), k.ID().String()) {
			t.Fatalf("opening without the key: %v", err)
		}
		// A key that another key's name is given to is no way in either.
		if _, err := Open(Seal(k, at, nil), at, func(ID) (Key, bool) { return other, true }); !errors.Is(err, ErrTampered) {
			t.Fatalf("opening with the wrong key: %v", err)
		}
	})
}

func TestWrap(t *testing.T) {
	bytes32 := rapid.SliceOfN(rapid.Byte(), 32, 32)
	rapid.Check(t, func(t *rapid.T) {
		k := keys.Draw(t, "k")
		mine := ed25519.NewKeyFromSeed(bytes32.Draw(t, "mine"))
		theirs := ed25519.NewKeyFromSeed(bytes32.Draw(t, "theirs"))
		wrapped, err := Wrap(k, mine.Public().(ed25519.PublicKey), bytes32.Draw(t, "once"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Unwrap(wrapped, k.ID(), mine); err != nil || got != k {
			t.Fatalf("unwrapped %v, %v", got, err)
		}
		if _, err := Unwrap(wrapped, k.ID(), theirs); !mine.Equal(theirs) && !errors.Is(err, ErrWrap) {
			t.Fatalf("another member unwraps: %v", err)
		}
		if _, err := Unwrap(wrapped, ID{}, mine); !errors.Is(err, ErrWrap) {
			t.Fatalf("under another name it unwraps: %v", err)
		}
		wrapped[rapid.IntRange(0, len(wrapped)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		// X25519 ignores the top bit of a public key, but the derivation does not.
		if _, err := Unwrap(wrapped, k.ID(), mine); err == nil {
			t.Fatal("a damaged wrap opens")
		}
	})
}

// TestKeysDoNotPrint: no verb and no logger shows a key.
func TestKeysDoNotPrint(t *testing.T) {
	k, err := MakeKey(bytes.Repeat([]byte{0xab}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("key", "key", k, "in", []any{k})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "key", k, "in", []any{k})
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%X", "%s", "%q", "%d"} {
		fmt.Fprintf(&out, verb+" ", k)
		fmt.Fprintf(&out, verb+" ", struct{ K Key }{k})
	}
	for _, leak := range []string{"abab", "ABAB", "171 171", "171,171", "\xab\xab", `\xab`} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("a printed key shows %q: %s", leak, out.String())
		}
	}
}

func TestParseID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := keys.Draw(t, "k").ID()
		if got, err := ParseID(id.String()); err != nil || got != id {
			t.Fatalf("%v, %v", got, err)
		}
	})
	for _, text := range []string{"", "00", "0123456789abcdeg", "0123456789ABCDEF", "0123456789abcdef0"} {
		if _, err := ParseID(text); err == nil {
			t.Errorf("%q is taken for an ID", text)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k, at := Key{1}, Place{Key: "secrets/a/b", UID: crdt.UID{2}, Path: "/data/c"}
	f.Add(Seal(k, at, []byte("value")))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		value, err := Open(sealed, at, ring(k))
		if err == nil && !bytes.Equal(Seal(k, at, value), sealed) {
			t.Fatalf("%x opens and is not what Seal makes", sealed)
		}
	})
}

func FuzzUnwrap(f *testing.F) {
	own := ed25519.NewKeyFromSeed(make([]byte, 32))
	wrapped, err := Wrap(Key{1}, own.Public().(ed25519.PublicKey), bytes.Repeat([]byte{3}, 32))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wrapped)
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := Unwrap(b, Key{1}.ID(), own); err == nil && k != (Key{1}) {
			t.Fatalf("%x unwraps to another key", b)
		}
	})
}
