package live

import (
	"strings"
	"testing"
)

// TestTwoManagersApplyOnBothSides: on each side of a split another manager applies
// a field of its own, by server-side apply (KEP-555). After the heal both fields
// and both owners are there, and each takes back its own field and no other.
func TestTwoManagersApplyOnBothSides(t *testing.T) {
	n := up(t, 2, "process")
	apply := func(node, manager, data string) {
		t.Helper()
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\ndata: {" + data + "}\n"
		if r := n.feed(node, text, "apply", "-f", "-", "--server-side", "--field-manager", manager); r.code != 0 {
			t.Fatalf("%s applies on %s: %v", manager, node, r)
		}
	}
	const data, owners = "jsonpath={.data}", "jsonpath={.metadata.managedFields[*].manager}"
	apply("n1", "base", "base: 'yes'")
	n.awaitOutput("n2", `{"base":"yes"}`, "get", "cm", "shared", "-o", data)
	n.must("partition", "n1|n2")
	apply("n1", "left", "left: l")
	apply("n2", "right", "right: r")
	n.must("heal")
	for _, node := range n.names() {
		n.awaitOutput(node, `{"base":"yes","left":"l","right":"r"}`, "get", "cm", "shared", "-o", data)
		if out := n.on(node, "get", "cm", "shared", "-o", owners); !strings.Contains(out, "left") || !strings.Contains(out, "right") {
			t.Errorf("%s: the owners are %s", node, out)
		}
	}
	apply("n2", "left", "")
	n.awaitOutput("n1", `{"base":"yes","right":"r"}`, "get", "cm", "shared", "-o", data)
	apply("n1", "right", "")
	n.awaitOutput("n2", `{"base":"yes"}`, "get", "cm", "shared", "-o", data)
}
