package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"holon/node/api"
	"holon/node/image"
)

// copiesAtOnce bounds the nodes that get one image at the same time.
const copiesAtOnce = 4

// imageStore is the node's, once it is connected.
func (n *Node) imageStore(ctx context.Context) (*image.Store, error) {
	if _, err := n.Mesh(ctx); err != nil {
		return nil, err
	}
	if n.images == nil {
		return nil, fmt.Errorf("%w: %s runs plain processes and has no images; ask a node with Podman", api.ErrInvalid, n.cfg.Identity.Name)
	}
	return n.images, nil
}

// Images asks the nodes for the images that they have.
func (n *Node) Images(ctx context.Context, node string) (api.ImageList, error) {
	store, err := n.imageStore(ctx)
	if err != nil {
		return api.ImageList{}, err
	}
	want := func(name string) bool { return node == "" || name == node }
	silent, err := n.outOfReach(want)
	if err != nil {
		return api.ImageList{}, err
	}
	found, err := store.List(ctx, want)
	if err != nil {
		return api.ImageList{}, err
	}
	silent = append(silent, found.Silent...)
	slices.Sort(silent)
	byID := map[string]*api.ImageInfo{}
	for _, name := range slices.Sorted(maps.Keys(found.Nodes)) {
		for _, i := range found.Nodes[name] {
			info := byID[i.ID]
			if info == nil {
				info = &api.ImageInfo{ID: i.ID, Size: i.Size}
				byID[i.ID] = info
			}
			info.Nodes = append(info.Nodes, name)
			info.Names = append(info.Names, i.Names...)
		}
	}
	list := api.ImageList{Items: []api.ImageInfo{}, Silent: silent}
	for _, info := range byID {
		slices.Sort(info.Names)
		info.Names = slices.Compact(info.Names)
		list.Items = append(list.Items, *info)
	}
	slices.SortFunc(list.Items, func(a, b api.ImageInfo) int {
		if c := slices.Compare(a.Names, b.Names); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, nil
}

// outOfReach are the members that want picks and that cannot be asked. It fails if
// want picks none at all.
func (n *Node) outOfReach(want func(string) bool) (names []string, err error) {
	known := false
	for _, m := range n.view.Load().Members {
		if m.State == "left" || !want(m.Name) {
			continue
		}
		known = true
		if !m.InReach() {
			names = append(names, m.Name)
		}
	}
	if !known {
		return nil, fmt.Errorf("%w: there is no such node", api.ErrNotFound)
	}
	return names, nil
}

// LoadImage takes an archive in on this node.
func (n *Node) LoadImage(ctx context.Context, archive io.Reader, sum func() string, progress func(string)) (infos []api.ImageInfo, err error) {
	store, err := n.imageStore(ctx)
	if err != nil {
		return nil, err
	}
	loaded, err := store.Load(ctx, archive, sum, progress)
	_, full := errors.AsType[*image.SpaceError](err)
	switch {
	case full:
		return nil, fmt.Errorf("%w: %w", api.ErrNoRoom, err)
	case errors.Is(err, image.ErrBusy):
		return nil, fmt.Errorf("%w: %w", api.ErrBusy, err)
	case errors.Is(err, image.ErrDamaged):
		return nil, fmt.Errorf("%w: %w", api.ErrInvalid, err)
	case err != nil:
		return nil, err
	}
	for _, i := range loaded {
		n.log.Info("image loaded", "names", i.Names, "id", i.ID)
		infos = append(infos, api.ImageInfo{ID: i.ID, Names: append([]string{}, i.Names...), Size: i.Size, Nodes: []string{n.cfg.Identity.Name}})
	}
	return infos, nil
}

// CopyImage makes nodes get an image, a few at a time. All that can be done is done
// before a failure is told.
func (n *Node) CopyImage(ctx context.Context, c api.ImageCopy, progress func(string)) error {
	store, err := n.imageStore(ctx)
	if err != nil {
		return err
	}
	if c.ID == "" {
		if c.ID, err = store.Resolve(ctx, c.Name); err != nil {
			return fmt.Errorf("image %s: %w", c.Name, err)
		}
	}
	nodes := c.Nodes
	if len(nodes) == 0 {
		for _, p := range n.imagePeers() {
			if p.Arch == n.cfg.Host.Arch { // the others cannot run it
				nodes = append(nodes, p.Name)
			}
		}
		nodes = append(nodes, n.cfg.Identity.Name)
		slices.Sort(nodes)
		if silent, err := n.outOfReach(func(string) bool { return true }); err == nil && len(silent) > 0 {
			progress(fmt.Sprintf("out of reach now: %s; a pod there that needs the image gets it by itself", strings.Join(silent, ", ")))
		}
	}
	var mu sync.Mutex
	var failed []string
	var group sync.WaitGroup
	turns := make(chan struct{}, copiesAtOnce)
	for _, name := range nodes {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			say := func(text string) { progress(name + ": " + text) }
			if err := store.Copy(ctx, name, c.Name, c.ID, say); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, fmt.Sprintf("%s: %v", name, err))
				return
			}
			say("has " + c.Name)
		})
	}
	group.Wait()
	if len(failed) > 0 {
		slices.Sort(failed)
		return fmt.Errorf("not copied to %s", strings.Join(failed, "; "))
	}
	return nil
}
