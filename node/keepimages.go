package node

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"holon/crdt"
	"holon/crdt/state"
	"holon/node/image"
	"holon/scheduler"
)

// Pace of keeping images.
const (
	keepEvery = 3 * time.Second
	// keepTurn is how long the next node in an image's order waits for the one before.
	keepTurn = 30 * time.Second
	// keepAgain is how long it is taken for granted that an image is kept.
	keepAgain = 10 * time.Minute
	keepRetry = time.Minute // after a failure
)

// keepImages makes sure that no image which pods run from is on one live node only,
// so that a stand-in finds it when that node dies, though no registry may have it or
// answer. Nobody is in charge: the nodes that could keep an image have an order, as
// the schedulers of a workload have. The first one fetches it, in the background
// and one at a time; each later one looks after its turn whether that has worked.
func (n *Node) keepImages(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	due := map[lonelyImage]time.Time{} // when this node looks after it
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n.images.Sweep()
		lonely := n.lonelyImages()
		for l := range due {
			if !slices.Contains(lonely, l) {
				delete(due, l)
			}
		}
		for _, l := range lonely {
			if _, known := due[l]; !known {
				due[l] = time.Now().Add(time.Duration(l.rank) * keepTurn)
			}
			if time.Now().Before(due[l]) || ctx.Err() != nil {
				continue
			}
			again := keepAgain
			if !n.keepImage(ctx, l.ref) {
				again = keepRetry
			}
			due[l] = time.Now().Add(again)
		}
	}
}

// lonelyImage is an image that pods of one live node run from. Where that is, or
// this node's place among those who could keep it, makes it another one.
type lonelyImage struct {
	ref, node string
	rank      int
}

// keepImage fetches an image unless two other nodes have it or it is here.
func (n *Node) keepImage(ctx context.Context, ref string) (kept bool) {
	if n.images.Here(ctx, ref) || len(n.images.Holders(ctx, ref)) > 1 {
		return true
	}
	t := n.images.Bring(ref, image.Wanted{Keep: true})
	<-t.Done() // ends with ctx
	r := t.Result()
	if r.Err != nil {
		n.log.Warn("an image is on one node only, and could not be kept here", "image", ref, "error", r.Err)
		return false
	}
	n.log.Info("an image is kept here, should the node that runs it be lost", "image", ref, "from", strings.Join(r.From, ","), "bytes", r.Bytes, "took", r.Took)
	return true
}

// lonelyImages are the images that pods of exactly one live node run from, and that
// this node could keep. Nodes of other architectures neither have them nor could.
func (n *Node) lonelyImages() (lonely []lonelyImage) {
	var able []string // nodes that may keep an image
	live := map[string]bool{}
	for _, m := range n.view.Load().Members {
		if m.State == "alive" && hasImages(&m) && m.Status.Arch == n.cfg.Host.Arch {
			live[m.Name] = true
			if !m.Status.Draining {
				able = append(able, m.Name)
			}
		}
	}
	on := map[string]string{} // image -> the one node that runs it, or several
	const several = "*"
	pods, _ := n.cfg.Cache.List(state.Pods, "")
	for _, pod := range pods {
		node, images := runsFrom(pod.Value())
		if !live[node] {
			continue
		}
		for _, ref := range images {
			if before, ok := on[ref]; ok && before != node {
				on[ref] = several
			} else {
				on[ref] = node
			}
		}
	}
	for ref, node := range on {
		others := slices.DeleteFunc(slices.Clone(able), func(name string) bool { return name == node })
		rank := scheduler.Rank(orderOf(ref), others, n.cfg.Identity.Name)
		if node != several && rank >= 0 && !strings.Contains(ref, "@") {
			lonely = append(lonely, lonelyImage{ref, node, rank})
		}
	}
	return lonely
}

// orderOf names an image for the rendezvous order.
func orderOf(ref string) crdt.UID {
	sum := sha256.Sum256([]byte(ref))
	return crdt.UID(sum[:len(crdt.UID{})])
}

// runsFrom gives the images of the containers of a pod that run, and where. Those of init
// containers that have ended belong to it: without them it begins nowhere else.
func runsFrom(pod map[string]any) (node string, images []string) {
	spec, _ := pod["spec"].(map[string]any)
	status, _ := pod["status"].(map[string]any)
	node, _ = spec["nodeName"].(string)
	running := map[any]bool{}
	for _, c := range list(status["containerStatuses"]) {
		states, _ := c["state"].(map[string]any)
		running[c["name"]] = states["running"] != nil
	}
	for _, c := range list(status["initContainerStatuses"]) {
		states, _ := c["state"].(map[string]any)
		running[c["name"]] = states["running"] != nil || states["terminated"] != nil
	}
	for _, c := range append(list(spec["initContainers"]), list(spec["containers"])...) {
		if ref, ok := c["image"].(string); ok && running[c["name"]] {
			images = append(images, ref)
		}
	}
	return node, images
}

// list is a list of objects in an unstructured one.
func list(v any) (objects []map[string]any) {
	all, _ := v.([]any)
	for _, e := range all {
		if o, ok := e.(map[string]any); ok {
			objects = append(objects, o)
		}
	}
	return objects
}
