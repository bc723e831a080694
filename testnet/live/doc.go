// Package live runs the scenarios of package testnet on real processes: the
// holon program itself, real kills, real Podman, real mounts and network
// namespaces. Of holon it imports the stories and the hosts to play them on, and
// nothing of the product; it types commands and looks at what comes of them. It needs root, and bin/holon and bin/web (make build web).
//
// Times are printed and never asserted: a wait has a generous deadline and fails
// with what it saw last.
package live
