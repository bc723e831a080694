// Package process runs pods as plain host processes: the runtime where there
// is no Podman, and the cheap one of the testnet. It needs Linux >= 5.3.
//
// # Who owns what
//
// Each attempt of a container runs under a shim, a small process in its own
// session (see Shim) that outlives the daemon, as conmon does. The shim owns
// the log, the forwarded host ports and the container's processes; it writes
// what happens to disk. The daemon keeps no truth: a new one reads all of it
// back from the state directory.
//
//	DIR/pods/RUN/pod.json                       the spec and the address
//	DIR/pods/RUN/volumes/VOLUME/                shared by the pod's containers
//	DIR/pods/RUN/containers/NAME/dir/           $HOLON_POD_DIR, kept over attempts
//	DIR/pods/RUN/containers/NAME/failed         why the last order could not start
//	DIR/pods/RUN/containers/NAME/N/             attempt N; the newest and one before it
//	    lock         held (flock) exactly while the attempt is being made or its shim lives
//	    start.json   what to run, written by the daemon
//	    state.json   starting -> running -> exited, written by the shim
//	    message      what the program said of its end, if it did
//	    log, log.1   CRI log lines: "TIME stdout|stderr F|P TEXT"
//
// Invariants:
//
//  1. A directory N appears by one rename, with its lock held and start.json
//     in it. So an attempt is started at most once, whatever crashes.
//  2. lock free and no state.json: nothing ever ran (or the power was cut
//     within moments of the start); the directory is half-made and is removed.
//  3. lock free and state.json not final: the shim died; whatever is left of
//     its processes is killed and the attempt counts as Exited with 137.
//  4. A process is signalled only through a pidfd whose start time matches
//     the one on disk: a PID that was used again is never hit.
//
// # What a container sees
//
// No image and no isolation: the host's files and the daemon's user. Its
// working directory is $HOLON_POD_DIR, a directory of its own; volumes appear
// there under their mount path and, where the daemon may make a private mount
// namespace and the absolute path exists on the host, at that path as well.
// It inherits PATH and gets HOSTNAME, HOME and POD_IP; the pod's own variables
// override these. With a Subnet each pod has an address of its own, on which it
// must listen ($(POD_IP), not 0.0.0.0), and the shim forwards its host ports.
package process
