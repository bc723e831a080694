package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"holon/runtime/podman"
	"holon/runtime/process"
)

// autoTrialTime bounds how long `auto` waits for a trial container.
const autoTrialTime = 20 * time.Second

// chooseRuntime settles what runs containers here, and says which and why.
func (d *daemon) chooseRuntime(ctx context.Context) error {
	o := &d.options
	kind := o.runtime
	if kind == "auto" {
		url := o.podmanURL
		if url == "" {
			url = podman.FindURL()
		}
		trial, cancel := context.WithTimeout(ctx, autoTrialTime)
		defer cancel()
		if err := podman.TrialContainer(trial, url); err != nil {
			d.say("runtime: plain host processes, because podman cannot be used: %v", err)
			kind = "process"
		} else {
			d.say("runtime: podman, because a trial container ran")
			kind = "podman"
		}
	}
	o.runtime = kind
	var err error
	if kind == "podman" {
		d.runtime, err = podman.New(ctx, podman.Config{
			URL: o.podmanURL, Cluster: d.identity.Cluster, Node: d.identity.Name, HostIP: o.hostIP,
			Dir: podmanVolumes(o.dataDir), Logger: d.log,
		})
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("this program's own file is not found: %w", err)
	}
	var subnet netip.Prefix
	if o.podSubnet != "" {
		if subnet, err = netip.ParsePrefix(o.podSubnet); err != nil {
			return usagef("--pod-subnet %q: %v", o.podSubnet, err)
		}
	}
	d.runtime, err = process.New(ctx, process.Config{
		Dir: processDir(o.dataDir), Node: d.identity.Name, Cluster: d.identity.Cluster,
		Shim: []string{self, shimVerb}, Subnet: subnet, HostIP: o.hostIP, Logger: d.log,
	})
	if err != nil {
		return errors.Join(errors.New("the process runtime cannot be used"), err)
	}
	return nil
}
