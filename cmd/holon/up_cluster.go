package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holon/node"
	"holon/p2p/cert"
	"holon/p2p/libp2p"
)

// Times for looking around before a cluster is made.
const (
	browseTime  = 1500 * time.Millisecond
	secondThink = 3 * time.Second // to stop it, when there is a cluster already
)

// identify finds out who this node is: from its data directory, by joining, or
// by making a cluster.
func (d *daemon) identify(ctx context.Context) error {
	id, err := node.LoadIdentity(d.options.dataDir)
	switch {
	case err == nil:
		return d.resume(id)
	case !errors.Is(err, node.ErrNoIdentity):
		return err
	}
	if used, err := node.Used(d.store); err != nil || used {
		return errors.Join(err, fmt.Errorf("%s holds a cluster's state but no identity.json, so this node cannot tell who it is; put identity.json back, or move the directory '%s' in it away to start anew", d.options.dataDir, node.StateDir))
	}
	if d.options.join != "" {
		return d.join(ctx)
	}
	return d.found(ctx)
}

// resume is the case of every later start.
func (d *daemon) resume(id node.Identity) error {
	d.identity = id
	if d.options.join == "" {
		return nil
	}
	token, err := cert.ParseToken(d.options.join)
	if err != nil {
		return usagef("--join: %v", err)
	}
	if token.Cluster != id.Cluster {
		return fmt.Errorf("this data directory belongs to node %s of cluster %s, the token is for cluster %s; use another --data-dir, or 'holon node leave' first", id.Name, id.Cluster, token.Cluster)
	}
	d.say("already a member of the cluster; the token is not needed")
	return nil
}

// join asks a member to let this node in.
func (d *daemon) join(ctx context.Context) error {
	token, err := cert.ParseToken(d.options.join)
	if err != nil {
		return usagef("--join: %v", err)
	}
	key, err := node.NewKey()
	if err != nil {
		return err
	}
	d.say("joining cluster %s as %s", token.Cluster, d.options.name)
	grant, err := libp2p.Join(ctx, libp2p.JoinConfig{
		Token: token, Key: key, Name: d.options.name, NoIntroduce: d.options.noIntroduce, MDNS: !d.options.local(), Agent: "holon " + readVersion().Version,
	}, func(text string) { d.say("%s", text) })
	if err != nil {
		return err
	}
	chain, err := grant.Chain.Encode()
	if err != nil {
		return err
	}
	d.identity = node.Identity{
		Name: d.options.name, Key: key, Cluster: grant.Cluster, ClusterKey: grant.ClusterKey, Chain: chain,
		CACert: grant.CACert, CAKey: grant.CAKey, DataKeys: grant.DataKeys, Known: grant.Members,
	}
	return d.identity.Save(d.options.dataDir)
}

// found makes a cluster, after a look whether there is one already.
func (d *daemon) found(ctx context.Context) error {
	if !d.options.local() {
		if err := d.lookAround(ctx); err != nil {
			return err
		}
	}
	id, err := newIdentity(d.options.name, !d.options.noIntroduce)
	if err != nil {
		return err
	}
	d.identity, d.founder = id, true
	d.say("made cluster %s; let others in with 'holon token create'", id.Cluster)
	return id.Save(d.options.dataDir)
}

// lookAround says which clusters are on the LAN and how to join them, and leaves
// time to stop.
func (d *daemon) lookAround(ctx context.Context) error {
	look, cancel := context.WithTimeout(ctx, browseTime)
	defer cancel()
	var clusters []libp2p.LANCluster
	err := d.patiently("looking for a cluster on this network", func() (err error) {
		clusters, err = libp2p.Browse(look)
		return err
	})
	if err != nil {
		d.log.Debug("no look at the LAN", "error", err)
		return nil
	}
	if len(clusters) == 0 {
		return nil
	}
	for _, c := range clusters {
		d.say("there is a cluster on this network: %s, %s. To join it, run 'holon token create' on a member and 'holon up --join TOKEN' here", c.ID, plural(len(c.Peers), "node"))
	}
	d.say("making another cluster in %v; Ctrl-C to stop", secondThink)
	select {
	case <-time.After(secondThink):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
