package runtimetest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"holon/runtime"
)

// ImageStore is the images of a simulated host, and the registry that it can or
// cannot ask. What an image holds is any bytes, and its ID is their digest.
type ImageStore struct {
	// Version is written into archives, as another version of a runtime writes other
	// bytes for the same image.
	Version string
	// Pause comes before every part of an archive that is written.
	Pause time.Duration
	// Pull is how long the registry takes, and Password what it asks for.
	Pull     time.Duration
	Password string

	mu       sync.Mutex
	content  map[string][]byte // by ID
	names    map[string]string // name -> ID
	used     map[string]int
	registry map[string][]byte // by name; nil: it does not answer
	loads    int
	pulls    []string
}

var _ runtime.Images = (*ImageStore)(nil)

// NewImageStore makes an empty store whose registry does not answer.
func NewImageStore() *ImageStore {
	return &ImageStore{content: map[string][]byte{}, names: map[string]string{}, used: map[string]int{}}
}

// Add puts an image in and returns its ID.
func (s *ImageStore) Add(name string, content []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(name, content)
}

func (s *ImageStore) add(name string, content []byte) string {
	id := idOf(content)
	s.content[id] = content
	if name != "" {
		s.names[name] = id
	}
	return id
}

// Use says how many containers are made from an image.
func (s *ImageStore) Use(id string, containers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[id] = containers
}

// SetRegistry says what a pull brings; nil: no registry answers.
func (s *ImageStore) SetRegistry(images map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registry = images
}

// Loads is how many archives were taken in, and Pulls which names a registry was
// asked for.
func (s *ImageStore) Loads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads
}

// Pulls lists the names that a registry was asked for.
func (s *ImageStore) Pulls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pulls)
}

// Images implements runtime.Images.
func (s *ImageStore) Images(context.Context) (list []runtime.Image, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.content {
		list = append(list, s.image(id))
	}
	slices.SortFunc(list, func(a, b runtime.Image) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

func (s *ImageStore) image(id string) runtime.Image {
	i := runtime.Image{ID: id, Size: int64(len(s.content[id])), Used: s.used[id]}
	for name, of := range s.names {
		if of == id {
			i.Names = append(i.Names, name)
		}
	}
	slices.Sort(i.Names)
	return i
}

// FindImage implements runtime.Images.
func (s *ImageStore) FindImage(_ context.Context, ref string) (runtime.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := cmp.Or(s.names[ref], ref)
	if _, here := s.content[id]; !here {
		return runtime.Image{}, missing(ref, false, "it is not on this node")
	}
	return s.image(id), nil
}

func missing(ref string, noRegistry bool, why string) error {
	return &runtime.Error{
		Kind: runtime.ImageMissing, Op: fmt.Sprintf("find image %q", ref),
		Err: &runtime.ImageError{Image: ref, NoRegistry: noRegistry, Err: errors.New(why)},
	}
}

// ImageArchive makes a docker-archive of the fake: the content of its only image is
// what a real one would have as its configuration, whose digest is the ID. version is
// a file that means nothing.
func ImageArchive(version string, content []byte, names ...string) []byte {
	config := idOf(content) + ".json"
	manifest, _ := json.Marshal([]archiveManifest{{Config: config, RepoTags: names}}) // strings always can be
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		text []byte
	}{{"version", []byte(version)}, {config, content}, {"manifest.json", manifest}} {
		_ = w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o444, Size: int64(len(f.text))}) // into memory
		_, _ = w.Write(f.text)
	}
	_ = w.Close()
	return b.Bytes()
}

// archiveManifest is an element of manifest.json.
type archiveManifest struct {
	Config   string
	RepoTags []string
}

// readArchive reads the files of an archive.
func readArchive(from io.Reader) (files map[string][]byte, err error) {
	files = map[string][]byte{}
	for r := tar.NewReader(from); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err == nil {
			files[h.Name], err = io.ReadAll(r)
		}
		if err != nil {
			return nil, err
		}
	}
}

func idOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// SaveImage implements runtime.Images.
func (s *ImageStore) SaveImage(_ context.Context, id string, w io.Writer) error {
	s.mu.Lock()
	content, here := s.content[id]
	s.mu.Unlock()
	if !here {
		return missing(id, false, "it is not on this node")
	}
	r := bytes.NewReader(ImageArchive(s.Version, content))
	part := make([]byte, 32<<10)
	for {
		n, err := r.Read(part)
		if err != nil {
			return nil // the end
		}
		time.Sleep(s.Pause)
		if _, err := w.Write(part[:n]); err != nil {
			return err
		}
	}
}

// LoadImages implements runtime.Images. It gives the images the names that the archive
// says, as Podman does.
func (s *ImageStore) LoadImages(_ context.Context, r io.Reader) (loaded []runtime.Image, err error) {
	files, err := readArchive(r)
	var manifest []archiveManifest
	if err == nil {
		err = json.Unmarshal(files["manifest.json"], &manifest)
	}
	for _, m := range manifest {
		if content, here := files[m.Config]; !here || idOf(content)+".json" != m.Config {
			err = errors.Join(err, errors.New("this is no archive of an image"))
		}
	}
	if err != nil {
		return nil, &runtime.Error{Kind: runtime.Failed, Op: "load an image", Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	for _, m := range manifest {
		id := s.add("", files[m.Config])
		for _, name := range m.RepoTags {
			s.names[name] = id
		}
		loaded = append(loaded, s.image(id))
	}
	return loaded, nil
}

// TagImage implements runtime.Images.
func (s *ImageStore) TagImage(_ context.Context, id, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, here := s.content[id]; !here {
		return missing(id, false, "it is not on this node")
	}
	s.names[name] = id
	return nil
}

// RemoveImage implements runtime.Images.
func (s *ImageStore) RemoveImage(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.content, id)
	for name, of := range s.names {
		if of == id {
			delete(s.names, name)
		}
	}
	return nil
}

// Runtime makes the pods of a runtime from the images of this store.
func (s *ImageStore) Runtime(of runtime.Runtime) runtime.Runtime { return imageRuntime{of, s} }

type imageRuntime struct {
	runtime.Runtime
	*ImageStore
}

func (r imageRuntime) EnsurePod(ctx context.Context, spec runtime.Spec) error {
	for _, c := range spec.Containers {
		if err := r.ensure(ctx, c); err != nil {
			return err
		}
	}
	return r.Runtime.EnsurePod(ctx, spec)
}

// ensure looks for the image of a container.
func (s *ImageStore) ensure(ctx context.Context, c runtime.Container) error {
	if c.PullPolicy == "Always" {
		err := missing(c.Image, false, "a registry is to be asked first")
		e, _ := errors.AsType[*runtime.ImageError](err)
		e.Ask = true
		return err
	}
	_, err := s.FindImage(ctx, c.Image)
	return err
}

// PullImage implements runtime.Images.
func (s *ImageStore) PullImage(ctx context.Context, ref string, auth runtime.Auth) (runtime.Image, error) {
	if s.Pull > 0 {
		select {
		case <-time.After(s.Pull):
		case <-ctx.Done():
			return runtime.Image{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulls = append(s.pulls, ref)
	content, there := s.registry[ref]
	switch {
	case s.registry == nil:
		return runtime.Image{}, missing(ref, true, "connection refused")
	case s.Password != "" && auth.Password != s.Password:
		return runtime.Image{}, missing(ref, false, "unauthorized: authentication required")
	case !there:
		return runtime.Image{}, missing(ref, false, "the registry has no such image")
	}
	return s.image(s.add(ref, content)), nil
}
