package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"holon/node/api"
	"holon/node/image"
)

// imageLoadOptions are the flags of `image load`.
type imageLoadOptions struct {
	node string
	all  bool
}

func imageLoadCommand(a *app) *cobra.Command {
	var o imageLoadOptions
	c := &cobra.Command{
		Use:   "load FILE|NAME",
		Short: "Load an image on a node, from a file or your own Podman",
		Long: `Load an image on the node that is asked. FILE is an archive as 'podman save' or
'docker save' write it, or an oci-archive; - is stdin. NAME is an image of the Podman
of your user, or else one that some node has. The archive is checked on arrival.

One node is enough: others get the image from it when a pod needs it. With --node or
--all it is copied there right away.`,
		Example: `  holon image load shop.tar
  podman build -t localhost/shop:1 . && holon image load localhost/shop:1 --all
  holon image load localhost/shop:1 --node n2     # from a node that has it
  ssh build podman save shop | holon image load -`,
		Args: wantArgs(1, 1, "the file of an archive, - for stdin, or the name of an image"), ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.all && o.node != "" {
				return usagef("--all and --node exclude each other")
			}
			return a.loadImage(cmd.Context(), args[0], o)
		},
	}
	c.Flags().StringVar(&o.node, "node", "", "the node that shall have the image (default: the one that is asked)")
	c.Flags().BoolVar(&o.all, "all", false, "all nodes that are in reach shall have it")
	_ = c.RegisterFlagCompletionFunc("node", a.completeNodes)
	return c
}

func (a *app) loadImage(ctx context.Context, what string, o imageLoadOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	source, err := a.openImage(ctx, what)
	if err != nil {
		return err
	}
	if source == nil { // no file, and no image here
		here, err := c.nodeName(ctx)
		if err != nil {
			return err
		}
		return a.copyImage(ctx, c, api.ImageCopy{Name: what}, here, o)
	}
	there, verb, err := c.hasImage(ctx, what, source), "is there already", nil
	if there == nil {
		verb = "loaded"
		if there, err = a.upload(ctx, c, source); err != nil {
			return fmt.Errorf("no image was loaded: %w", err)
		}
	}
	_ = source.end()
	for _, i := range there {
		if err := a.loaded(ctx, c, i, verb, o); err != nil {
			return err
		}
	}
	return nil
}

// loaded says that an image is on a node, and has it copied to others.
func (a *app) loaded(ctx context.Context, c *client, i api.ImageInfo, verb string, o imageLoadOptions) error {
	node := strings.Join(i.Nodes, ",")
	if len(i.Names) == 0 {
		say(a.out, "image %s %s on %s; it has no name, and pods ask for names: save it by its name\n", image.Short(i.ID), verb, node)
		return nil
	}
	say(a.out, "image %s %s on %s (%s, %s)\n", strings.Join(i.Names, ", "), verb, node, image.Short(i.ID), image.Bytes(i.Size))
	if !o.all && o.node == "" {
		return nil
	}
	return a.copyImage(ctx, c, api.ImageCopy{Name: i.Names[0], ID: i.ID}, node, o)
}

// hasImage is the image that would be sent, if the node has it under that name: the
// user's Podman may be the node's own. Nil if not, or if that cannot be told.
func (c *client) hasImage(ctx context.Context, name string, source *imageSource) []api.ImageInfo {
	if source.id == "" {
		return nil
	}
	node, err := c.nodeName(ctx)
	if err != nil {
		return nil
	}
	list, err := c.images(ctx, node)
	if err != nil {
		return nil
	}
	for _, i := range list.Items {
		if i.ID == source.id && slices.Contains(i.Names, name) {
			i.Names = []string{name}
			return []api.ImageInfo{i}
		}
	}
	return nil
}

func (c *client) nodeName(ctx context.Context) (string, error) {
	var status api.ClusterStatus
	err := c.get(ctx, ownGroup+"/status", nil, &status)
	return status.Node, err
}

// copyImage makes the nodes that the flags name get an image; without flags the one
// that is asked, here.
func (a *app) copyImage(ctx context.Context, c *client, ask api.ImageCopy, here string, o imageLoadOptions) error {
	switch {
	case o.node != "":
		ask.Nodes = []string{o.node}
	case !o.all:
		ask.Nodes = []string{here}
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	if err := a.followRequest(ctx, c, request{method: http.MethodPost, path: imagesPath + "/copy", body: body}); err != nil {
		return err
	}
	where := "every node in reach has it"
	if len(ask.Nodes) > 0 {
		where = ask.Nodes[0] + " has it"
	}
	say(a.out, "image %s: %s\n", ask.Name, where)
	return nil
}

// imageSource is an archive to send.
type imageSource struct {
	io.Reader
	what string
	size int64        // 0: unknown
	id   string       // of an image of the user's Podman
	end  func() error // may be called again
}

// openImage finds what is meant: a file, stdin, or an image of the user's Podman. Nil:
// none of these.
func (a *app) openImage(ctx context.Context, what string) (*imageSource, error) {
	if what == "-" {
		return &imageSource{Reader: a.in, what: "the archive", end: func() error { return nil }}, nil
	}
	f, err := os.Open(what)
	if err == nil {
		info, err := f.Stat()
		if err == nil && info.IsDir() {
			err = fmt.Errorf("%s is a directory; name an archive, as 'podman save' writes it", what)
		}
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		return &imageSource{Reader: f, what: what, size: info.Size(), end: sync.OnceValue(f.Close)}, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return savedByPodman(ctx, what)
}

// savedByPodman is an image of the Podman of this user as an archive; nil if there is
// none.
func savedByPodman(ctx context.Context, name string) (*imageSource, error) {
	podman, err := exec.LookPath("podman")
	if err != nil || strings.HasPrefix(name, "-") || exec.CommandContext(ctx, podman, "image", "exists", name).Run() != nil {
		return nil, nil
	}
	id, err := exec.CommandContext(ctx, podman, "image", "inspect", "--format", "{{.Id}}", name).Output()
	if err != nil {
		return nil, fmt.Errorf("podman image inspect %s: %w", name, err)
	}
	cmd := exec.CommandContext(ctx, podman, "save", "--quiet", "--format", "docker-archive", name)
	problem := new(bytes.Buffer)
	cmd.Stderr = problem
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &imageSource{Reader: out, what: name, id: strings.TrimSpace(string(id)), end: sync.OnceValue(func() error {
		_ = out.Close() // ends a save that nobody reads any more
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("podman save %s: %w: %s", name, err, strings.TrimSpace(problem.String()))
		}
		return nil
	})}, nil
}

// upload sends an archive and says how far it is. Neither side may stand still for
// longer than the request timeout.
func (a *app) upload(ctx context.Context, c *client, source *imageSource) ([]api.ImageInfo, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait := a.startProgress("sending %s to %s", source.what, c.where)
	defer wait.stop()
	body := &uploadBody{source: source, wait: wait, sum: sha256.New(), trailer: http.Header{api.ImageSum: nil}}
	if c.timeout > 0 {
		body.patience = c.timeout
		body.timer = time.AfterFunc(c.timeout, func() { body.stalled.Store(true); cancel() })
		defer body.timer.Stop()
	}
	answer, err := c.open(ctx, request{method: http.MethodPost, path: imagesPath, stream: body, trailer: body.trailer, contentType: "application/octet-stream"})
	if body.stalled.Load() {
		err = c.explain(context.DeadlineExceeded)
	}
	failed := body.failed.Load()
	_ = source.end() // if that failed, so did the reading
	if err == nil {
		defer answer.Close()
	}
	switch {
	case failed != nil: // rather than what the node made of it
		return nil, *failed
	case err != nil:
		return nil, err
	}
	lines := json.NewDecoder(answer)
	for {
		var line api.ImageProgress
		if err := lines.Decode(&line); err != nil {
			return nil, fmt.Errorf("%s ended its answer too early: %w", c.where, err)
		}
		body.alive()
		switch {
		case line.Error != "":
			return nil, errors.New(line.Error)
		case line.Progress == "":
			return line.Images, nil
		}
		wait.say("%s", line.Progress)
	}
}

// uploadBody reads a source, and ends with its checksum.
type uploadBody struct {
	source   *imageSource
	wait     *progress
	sum      hash.Hash
	sent     int64
	told     time.Time
	trailer  http.Header
	timer    *time.Timer // nil: for ever
	patience time.Duration
	stalled  atomic.Bool
	failed   atomic.Pointer[error] // of the source
}

func (b *uploadBody) alive() {
	if b.timer != nil {
		b.timer.Reset(b.patience)
	}
}

func (b *uploadBody) Read(p []byte) (int, error) {
	b.alive()
	n, err := b.source.Read(p)
	b.sum.Write(p[:n])
	b.sent += int64(n)
	if errors.Is(err, io.EOF) {
		if bad := b.source.end(); bad != nil {
			err = bad
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		b.trailer.Set(api.ImageSum, hex.EncodeToString(b.sum.Sum(nil)))
	case err != nil:
		b.failed.Store(&err)
	}
	if time.Since(b.told) >= time.Second {
		b.told = time.Now()
		of := ""
		if b.source.size > 0 {
			of = " of " + image.Bytes(b.source.size)
		}
		b.wait.say("sending %s, %s%s", b.source.what, image.Bytes(b.sent), of)
	}
	return n, err
}
