package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holon/crdt/state"
	"holon/node/api"
	"holon/node/core"
)

// volumesTimeout is how long the nodes may take to look at their volumes' files.
const volumesTimeout = 5 * time.Second

// volumeQuestion asks a node for its volumes, or to remove one that is unused.
type volumeQuestion struct {
	Remove string `json:"remove,omitempty"`
}

// volumeAnswer carries a refusal in words: a stream tells only that there is none.
type volumeAnswer struct {
	Volumes []api.VolumeInfo `json:"volumes,omitempty"`
	Absent  bool             `json:"absent,omitempty"`
	Stays   string           `json:"stays,omitempty"`
}

// Volumes lists what all nodes keep beyond pods, and what those have that did not answer,
// as far as claims tell.
func (n *Node) Volumes(ctx context.Context) (api.VolumeList, error) {
	others, cancel := context.WithTimeout(ctx, volumesTimeout)
	defer cancel()
	var list api.VolumeList
	list.Missing = n.askOthers(func(m core.MemberView) (func(), error) {
		theirs, err := askPeer[volumeAnswer](others, n, m.Peer, volumesProtocol, volumeQuestion{})
		return func() { list.Items = append(list.Items, theirs.Volumes...) }, err
	})
	ack, err := n.ask(ctx, core.ListVolumes{})
	if err != nil {
		return list, apiError(err)
	}
	for _, v := range ack.Volumes {
		switch away := v.Node != n.cfg.Identity.Name; {
		case !away:
			list.Items = append(list.Items, n.sized(ctx, v))
		case v.State == core.VolumeLost || slices.Contains(list.Missing, v.Node):
			list.Items = append(list.Items, volumeInfo(v))
		}
	}
	slices.SortFunc(list.Items, func(a, b api.VolumeInfo) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Claim, b.Claim), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Volume, b.Volume))
	})
	return list, nil
}

func volumeInfo(v core.KeptVolume) api.VolumeInfo {
	_, namespace, claim := v.Claim.Split()
	return api.VolumeInfo{Node: v.Node, Volume: v.Name, State: v.State, Namespace: namespace, Claim: claim, Bytes: -1, InUse: v.InUse}
}

// sized is a volume of this node, with the size of its files.
func (n *Node) sized(ctx context.Context, v core.KeptVolume) api.VolumeInfo {
	info := volumeInfo(v)
	bytes, err := n.cfg.Runtime.VolumeSize(ctx, v.Name)
	if err != nil {
		n.log.Warn("a volume cannot be measured", "volume", v.Name, "error", err)
		return info
	}
	info.Bytes = bytes
	return info
}

// answerVolumes is what this node says to another one.
func (n *Node) answerVolumes(ctx context.Context, q volumeQuestion) (a volumeAnswer, err error) {
	if q.Remove != "" {
		err := n.removeOwn(ctx, q.Remove)
		switch {
		case errors.Is(err, api.ErrStays):
			return volumeAnswer{Stays: strings.TrimPrefix(err.Error(), api.ErrStays.Error()+": ")}, nil
		case errors.Is(err, api.ErrNotFound):
			return volumeAnswer{Absent: true}, nil
		}
		return volumeAnswer{}, err
	}
	ack, err := n.ask(ctx, core.ListVolumes{})
	for _, v := range ack.Volumes {
		if v.Node == n.cfg.Identity.Name {
			a.Volumes = append(a.Volumes, n.sized(ctx, v))
		}
	}
	return a, err
}

func (n *Node) removeOwn(ctx context.Context, volume string) error {
	_, err := n.ask(ctx, core.RemoveVolume{Name: volume})
	return evictionError(err)
}

// RemoveVolume removes an unused volume of a node.
func (n *Node) RemoveVolume(ctx context.Context, node, volume string) error {
	n.log.Info("removal of a volume asked for", "node", node, "volume", volume)
	if node == n.cfg.Identity.Name {
		return n.removeOwn(ctx, volume)
	}
	peer, _ := n.peerOf(node)
	if peer == "" {
		return fmt.Errorf("%w: no member is called %s", api.ErrNotFound, node)
	}
	ctx, cancel := context.WithTimeout(ctx, volumesTimeout)
	defer cancel()
	a, err := askPeer[volumeAnswer](ctx, n, peer, volumesProtocol, volumeQuestion{Remove: volume})
	switch {
	case err != nil:
		return fmt.Errorf("%w: %s: %v", api.ErrUnreachable, node, err)
	case a.Absent:
		return fmt.Errorf("%w: %s keeps no volume %s", api.ErrNotFound, node, volume)
	case a.Stays != "":
		return fmt.Errorf("%w: %s", api.ErrStays, a.Stays)
	}
	return nil
}

// AbandonVolume gives the data of a claim up.
func (n *Node) AbandonVolume(ctx context.Context, namespace, name string, force bool) error {
	_, err := n.ask(ctx, core.AbandonVolume{Claim: state.MakeKey(state.Claims, namespace, name), Force: force})
	return evictionError(err)
}
