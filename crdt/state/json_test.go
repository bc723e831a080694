package state

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestPlainStringsAreJSON holds the short ways for strings against encoding/json:
// they say the same, or leave it to the long way.
func TestPlainStringsAreJSON(t *testing.T) {
	pieces := rapid.SampledFrom([]string{"a", "Z 9", `"`, `\`, `\n`, "\n", "\x00", "<", ">", "&", "é", "\u2028", "\xff", "~", "\x7f", `\u003c`})
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(pieces, 0, 6).Draw(t, "pieces"), "")
		written, err := appendString(nil, s)
		if valid := utf8.ValidString(s); valid != (err == nil) {
			t.Fatalf("%q: error %v", s, err)
		}
		if want, _ := json.Marshal(s); err == nil && string(written) != string(want) {
			t.Fatalf("%q is written %s, not %s", s, written, want)
		}
		for _, text := range []string{string(written), `"` + s + `"`, s} {
			got, ok := plainString([]byte(text))
			if !ok {
				continue
			}
			var want string
			if err := json.Unmarshal([]byte(text), &want); err != nil || got != want {
				t.Fatalf("%s is read as %q, not as %q (%v)", text, got, want, err)
			}
		}
	})
}
