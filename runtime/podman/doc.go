// Package podman runs pods on Podman through its socket. It is the only
// package that imports Podman's API, and needs the build tags that the Makefile
// sets; without them New and its companions answer with one clear sentence.
//
// One Podman pod per holon pod: the pod's infra container owns the network
// namespace, so an address survives restarts of the containers. Each attempt
// of a container is a container of its own, named
// holon-<run>-<container>-<attempt>, so that the log of the attempt before is
// kept. All that is needed to find pods again is in labels; this package's own
// memory is only a cache. Several nodes may share one Podman service: every
// look and every removal is filtered by the labels of cluster and node.
package podman
