package state

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holon/crdt"
	"holon/crdt/seal"
)

var (
	secretKey = MakeKey(Secrets, "default", "s")
	dataKey   = seal.Key{1, 2, 3}
)

func findDataKey(id seal.ID) (seal.Key, bool) { return dataKey, id == dataKey.ID() }

func sealedValue(t testing.TB, uid crdt.UID, path, plain string) string {
	t.Helper()
	out, err := SealRegisters(dataKey, secretKey, uid, map[string][]byte{path: jsonString(base64.StdEncoding.EncodeToString([]byte(plain)))})
	if err != nil {
		t.Fatal(err)
	}
	return string(out[path])
}

// TestSealedObjectOpens: an object goes through registers and comes back, and in
// between nothing of it that is secret can be read.
func TestSealedObjectOpens(t *testing.T) {
	names := rapid.StringMatching(`[-._a-zA-Z0-9/~]{1,20}`)
	rapid.Check(t, func(t *rapid.T) {
		data, notes := map[string]any{}, map[string]any{}
		secrets := map[string]bool{}
		for name, value := range rapid.MapOfN(names, rapid.SliceOfN(rapid.Byte(), 0, 40), 0, 4).Draw(t, "data") {
			data[name] = base64.StdEncoding.EncodeToString(value)
			secrets[data[name].(string)] = true
		}
		for name, value := range rapid.MapOfN(names, rapid.String(), 0, 4).Draw(t, "annotations") {
			notes[name] = value
			secrets[value] = true
		}
		value := map[string]any{"type": "Opaque", "data": data, "metadata": map[string]any{"annotations": notes, "labels": map[string]any{"a": "b"}}}
		flat, err := Flatten(value)
		if err != nil {
			t.Fatal(err)
		}
		uid := crdt.UID{9}
		sealed, err := SealRegisters(dataKey, secretKey, uid, flat)
		if err != nil {
			t.Fatal(err)
		}
		for path, register := range sealed {
			if _, err := SealedWith(register); SealedPath(Secrets, path) != (err == nil) {
				t.Fatalf("register %s is %s", path, register)
			}
			var text string
			if json.Unmarshal(register, &text) == nil && SealedPath(Secrets, path) && secrets[text] {
				t.Fatalf("register %s is readable: %s", path, text)
			}
		}
		built, err := Build(sealed)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := OpenObject(secretKey, uid, built, findDataKey)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Flatten(opened)
		if err != nil || !maps.EqualFunc(flat, again, func(a, b []byte) bool { return string(a) == string(b) }) {
			t.Fatalf("%v became %v, %v", value, opened, err)
		}
		if len(data) > 0 {
			_, err = OpenObject(secretKey, uid, built, func(seal.ID) (seal.Key, bool) { return seal.Key{}, false })
			if locked := (*seal.LockedError)(nil); !errors.As(err, &locked) || locked.Key != dataKey.ID() {
				t.Fatalf("without the key: %v", err)
			}
			if _, err := OpenObject(MakeKey(Secrets, "default", "other"), uid, built, findDataKey); !errors.Is(err, seal.ErrTampered) {
				t.Fatalf("moved to another name: %v", err)
			}
		}
	})
}

// TestUnsealableIsRefused: what cannot be sealed is not let through in the clear,
// and the error does not show it.
func TestUnsealableIsRefused(t *testing.T) {
	for _, value := range []string{`"not base64!"`, `{"a":"secretive"}`, `["secretive"]`, `17`} {
		_, err := SealRegisters(dataKey, secretKey, crdt.UID{1}, map[string][]byte{"/data/a": []byte(value)})
		if err == nil || strings.Contains(err.Error(), "secretive") || strings.Contains(err.Error(), "not base64!") {
			t.Errorf("%s: %v", value, err)
		}
	}
	if out, err := SealRegisters(dataKey, MakeKey(ConfigMaps, "default", "c"), crdt.UID{}, map[string][]byte{"/data/a": []byte(`"x"`)}); err != nil || string(out["/data/a"]) != `"x"` {
		t.Errorf("a ConfigMap: %v, %v", out, err)
	}
}

func FuzzSealedWith(f *testing.F) {
	f.Add([]byte(sealedValue(f, crdt.UID{7}, "/data/a", "x")))
	f.Add([]byte(`"cGxhaW4="`))
	f.Fuzz(func(t *testing.T, value []byte) {
		id, err := SealedWith(value)
		plain, openErr := OpenRegister(secretKey, crdt.UID{7}, "/data/a", value, findDataKey)
		if err != nil && openErr == nil {
			t.Fatalf("%q opens to %q and is not sealed: %v", value, plain, err)
		}
		if err == nil && openErr == nil && id != dataKey.ID() {
			t.Fatalf("%q opens with %v", value, id)
		}
	})
}
