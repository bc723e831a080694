package node

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"slices"
	"strings"
)

// Machine tells one machine from another: names of what identifies it, with
// hashes of that. What cannot be read is not in it, and only what is known on
// both sides is compared, so running as another user is not another machine.
type Machine map[string]string

// Each of these stays the same over reboots, new kernels, host names and
// addresses. A cloned disk keeps the machine-id; a virtual machine gets another
// product_uuid, a board has another serial-number.
var machineFiles = map[string]string{
	"machine-id":    "/etc/machine-id",
	"product_uuid":  "/sys/class/dmi/id/product_uuid",
	"serial-number": "/sys/firmware/devicetree/base/serial-number",
}

// ThisMachine reads what identifies the machine. The hashes are keyed with
// holon's name, because machine-id(5) asks not to expose the number itself.
func ThisMachine() Machine {
	m := Machine{}
	for name, file := range machineFiles {
		text, err := os.ReadFile(file)
		id := strings.Trim(string(text), "\x00 \n")
		if err != nil || len(id) < 8 || id == "uninitialized" {
			continue
		}
		sum := hmac.New(sha256.New, []byte("holon mark "+name))
		sum.Write([]byte(id))
		m[name] = hex.EncodeToString(sum.Sum(nil)[:16])
	}
	return m
}

// differs names what both know and is not the same.
func (m Machine) differs(other Machine) []string {
	names := slices.Sorted(maps.Keys(m))
	return slices.DeleteFunc(names, func(name string) bool {
		theirs, known := other[name]
		return !known || theirs == m[name]
	})
}
