package state

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holon/crdt"
	"holon/crdt/seal"
)

// The registers of a Secret that are sealed: its values, and its annotations, of
// which kubectl's last-applied-configuration holds the values again. A sealed
// register has the shape that its field has in the clear: a JSON string, base64
// of the sealed bytes. So a sealed Secret is a Secret.
const (
	SecretData        = "/data/"
	SecretAnnotations = "/metadata/annotations/"
)

// SealedPath reports whether a register of a resource is sealed.
func SealedPath(resource, path string) bool {
	return resource == Secrets && (strings.HasPrefix(path, SecretData) || strings.HasPrefix(path, SecretAnnotations))
}

// SealRegisters seals what has to be in the registers of an object; the map is
// not changed. What is not a string of the field's form is an error: it could
// only be stored in the clear.
func SealRegisters(k seal.Key, key Key, uid crdt.UID, registers map[string][]byte) (map[string][]byte, error) {
	out := make(map[string][]byte, len(registers))
	for path, value := range registers {
		if value != nil && SealedPath(key.Resource(), path) {
			plain, err := plainRegister(path, value)
			if err != nil {
				return nil, err
			}
			value = jsonBase64(seal.Seal(k, place(key, uid, path), plain))
		}
		out[path] = value
	}
	return out, nil
}

// OpenRegister is the inverse for one register: its plaintext bytes. Its errors
// are those of seal.Open.
func OpenRegister(key Key, uid crdt.UID, path string, value []byte, find func(seal.ID) (seal.Key, bool)) ([]byte, error) {
	sealed, err := sealedBytes(value)
	if err != nil {
		return nil, err
	}
	return seal.Open(sealed, place(key, uid, path), find)
}

// SealedWith tells which data key a register is sealed with; it fails with
// seal.ErrMalformed on one that is not sealed.
func SealedWith(value []byte) (seal.ID, error) {
	sealed, err := sealedBytes(value)
	if err != nil {
		return seal.ID{}, err
	}
	return seal.KeyOf(sealed)
}

// OpenObject opens the values of an object that was built from sealed registers.
// It changes copies, never value.
func OpenObject(key Key, uid crdt.UID, value map[string]any, find func(seal.ID) (seal.Key, bool)) (map[string]any, error) {
	if key.Resource() != Secrets {
		return value, nil
	}
	out := copyObject(value)
	open := func(parent map[string]any, prefix string, show func([]byte) string) error {
		for _, name := range slices.Sorted(maps.Keys(parent)) {
			text, ok := parent[name].(string)
			if !ok {
				continue
			}
			path := prefix + escape(name)
			plain, err := OpenRegister(key, uid, path, jsonString(text), find)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			parent[name] = show(plain)
		}
		return nil
	}
	data, _ := out["data"].(map[string]any)
	if err := open(data, SecretData, base64.StdEncoding.EncodeToString); err != nil {
		return nil, err
	}
	meta, _ := out["metadata"].(map[string]any)
	notes, _ := meta["annotations"].(map[string]any)
	return out, open(notes, SecretAnnotations, func(b []byte) string { return string(b) })
}

// checkSealed: no value of a Secret lies in a record in the clear, not even one
// that lost a conflict.
func (c *checker) checkSealed() {
	for _, key := range c.of(Secrets) {
		for _, o := range sortedObjects(c.doc[key]) {
			for _, path := range slices.Sorted(maps.Keys(o.Registers)) {
				if !SealedPath(Secrets, path) {
					continue
				}
				g := o.Registers[path]
				for _, w := range append([]crdt.Sibling{{Value: g.Value}}, g.Siblings...) {
					if w.Value == nil {
						continue
					}
					if _, err := SealedWith(w.Value); err != nil {
						c.find(Broken, key, "object %s, field %s: %v", o.UID, path, err)
					}
				}
			}
		}
	}
}

func place(key Key, uid crdt.UID, path string) seal.Place {
	return seal.Place{Key: string(key), UID: uid, Path: path}
}

func plainRegister(path string, value []byte) ([]byte, error) {
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, fmt.Errorf("field %q is not a string", path)
	}
	if !strings.HasPrefix(path, SecretData) {
		return []byte(text), nil
	}
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("field %q is not base64", path) // the error of the library may show a byte
	}
	return plain, nil
}

func sealedBytes(value []byte) ([]byte, error) {
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, fmt.Errorf("%w: it is not a string", seal.ErrMalformed)
	}
	sealed, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not base64", seal.ErrMalformed)
	}
	return sealed, nil
}

func jsonBase64(b []byte) []byte { return jsonString(base64.StdEncoding.EncodeToString(b)) }

func jsonString(text string) []byte {
	out, err := json.Marshal(text)
	if err != nil {
		panic(fmt.Sprintf("state: a string does not encode: %v", err)) // every string does
	}
	return out
}
