// Package kube proves holon with clients that know nothing of it: kubectl, Helm
// and client-go's informers, each in the version that go.mod names, unchanged.
package kube
