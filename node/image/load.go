package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"holon/runtime"
)

// ErrBusy: as many archives are taken in as can be.
var ErrBusy = errors.New("this node takes in as many archives as it can; try again in a moment")

// ErrDamaged: what arrived is not what was sent, or no archive.
var ErrDamaged = errors.New("the archive did not arrive as it was sent")

// Load takes in an archive of a user. sum is its SHA-256 as the user's side counted
// it, once all has been read. say is told that it is being unpacked, now and then.
func (s *Store) Load(ctx context.Context, r io.Reader, sum func() string, say func(string)) ([]runtime.Image, error) {
	release, ok := tryTake(s.loads)
	if !ok {
		return nil, ErrBusy
	}
	defer release()
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.cfg.Dir, "load-*"+partialSuffix)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(f.Name()), partialSuffix)
	s.mu.Lock()
	s.files[name] = true
	s.mu.Unlock()
	defer func() {
		_ = errors.Join(f.Close(), os.Remove(f.Name()))
		s.mu.Lock()
		delete(s.files, name)
		s.mu.Unlock()
	}()
	n, digest, err := s.spool(f, r)
	if err != nil {
		return nil, err
	}
	if want := sum(); want != digest {
		return nil, fmt.Errorf("%w: %d bytes came with the SHA-256 %.12s, and it was sent with %.12q", ErrDamaged, n, digest, want)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	words := fmt.Sprintf("%s unpacks %s", s.cfg.Self, Bytes(n))
	say(words)
	defer every(ctx, sayEvery, func() { say(words) })()
	return s.cfg.Images.LoadImages(ctx, f)
}

// spool writes what comes to a file, and leaves room for as much again.
func (s *Store) spool(f *os.File, r io.Reader) (n int64, digest string, err error) {
	hash := sha256.New()
	out := io.MultiWriter(f, hash)
	for {
		if err := s.room("the archive", uint64(n)+2*spaceEvery, Reserve); err != nil {
			return n, "", err
		}
		part, err := io.CopyN(out, r, spaceEvery)
		n += part
		switch {
		case errors.Is(err, io.EOF):
			return n, hex.EncodeToString(hash.Sum(nil)), nil
		case err != nil:
			return n, "", err
		case n > archiveBytesMax:
			return n, "", fmt.Errorf("%w: it has more than %s", ErrDamaged, Bytes(archiveBytesMax))
		}
	}
}

// Resolve finds the ID that a name stands for: here, or else with most of the peers.
func (s *Store) Resolve(ctx context.Context, ref string) (string, error) {
	if i, err := s.cfg.Images.FindImage(ctx, ref); err == nil {
		return i.ID, nil
	}
	found := s.ask(ctx, ref)
	if len(found) == 0 {
		return "", ErrNobody
	}
	chosen, _ := choose(ref, found)
	return chosen[0].ID, nil
}

// Copy makes a node get an image of a name and an ID from whoever has it.
func (s *Store) Copy(ctx context.Context, node, ref, id string, say func(string)) error {
	if node != s.cfg.Self {
		for _, p := range s.cfg.Peers() {
			if p.Name == node {
				return s.order(ctx, p, ref, id, say)
			}
		}
		return fmt.Errorf("%s is out of reach, or has no images", node)
	}
	if i, err := s.cfg.Images.FindImage(ctx, ref); err == nil && i.ID == id {
		return nil
	}
	t := s.Bring(ref, Wanted{ID: id})
	defer every(ctx, sayEvery, func() { say(t.Words()) })()
	_, err := t.Await(ctx)
	return err
}
