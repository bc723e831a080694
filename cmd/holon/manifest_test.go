package main

import (
	"strings"
	"testing"
)

const twoMaps = `# a comment
---
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
---
# only a comment
--- # with a comment
apiVersion: v1
kind: ConfigMap
metadata: {name: b}
data:
  text: |
    not a separator:
     --- here
`

func TestManifestsAreTakenApart(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"documents":  {twoMaps, "f:3 a, f:9 b"},
		"json":       {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}} {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}`, "f:1 a, f:1 b"},
		"flow style": {`{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`, "f:1 a"},
		"list":       {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {apiVersion: v1, kind: Namespace, metadata: {name: b}}", "f:1 a, f:1 b"},
		"empty":      {"---\n---\n# nothing\n", ""},
		"crlf":       {"apiVersion: v1\r\nkind: ConfigMap\r\nmetadata: {name: a}\r\n---\r\napiVersion: v1\r\nkind: ConfigMap\r\nmetadata: {name: b}\r\n", "f:1 a, f:5 b"},
	} {
		docs, err := parseManifest("f", []byte(tc.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, d := range docs {
			got = append(got, d.source+" "+d.object.GetName())
		}
		if s := strings.Join(got, ", "); s != tc.want {
			t.Errorf("%s: %q, want %q", name, s, tc.want)
		}
	}
}

func TestBadManifestsSayWhere(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\n---\nkind: [": "f:1: kind is not set",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n bad": "f:8: did not find expected key",
		"kind: ConfigMap\nmetadata: {name: a}":                            "f:1: apiVersion is not set",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {}":                   "metadata.name is not set",
		"apiVersion: v1\nkind: ConfigMap\nkind: Pod\nmetadata: {name: a}": "f:3: key \"kind\" already set",
		"just text": "an object was expected",
		"apiVersion: v1\nkind: List\nitems:\n- {kind: ConfigMap}": "items[0]: apiVersion is not set",
	} {
		_, err := parseManifest("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
