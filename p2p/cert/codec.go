package cert

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// membersMax bounds every array of a message, the member list of a grant above all.
const membersMax = 4096

// ErrNotCanonical says that a message has another encoding than the one that its
// writer would have chosen: it was made by hand.
var ErrNotCanonical = errors.New("encoding is not canonical")

var (
	encMode = must(cbor.CoreDetEncOptions().EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxArrayElements:  membersMax,
		MaxMapPairs:       64,
		MaxNestedLevels:   8,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// mustEncode encodes a type of this package; all of them can be encoded.
func mustEncode(v any) []byte { return must(encMode.Marshal(v)) }

func encodeBounded(v any, limit int) ([]byte, error) {
	b, err := encMode.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(b) > limit {
		return nil, fmt.Errorf("message of %d bytes is over its limit of %d", len(b), limit)
	}
	return b, nil
}

// decodeBounded reads exactly one canonical value, so that two encodings of one
// certificate cannot exist.
func decodeBounded(b []byte, v any, limit int) error {
	if len(b) > limit {
		return fmt.Errorf("message of %d bytes is over its limit of %d", len(b), limit)
	}
	if err := decMode.Unmarshal(b, v); err != nil {
		return err
	}
	again, err := encMode.Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return ErrNotCanonical
	}
	return nil
}
