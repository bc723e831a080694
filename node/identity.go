package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"holon/p2p"
	"holon/p2p/cert"
)

// Identity is who a node is: its key, its cluster, and the certificates that
// prove that it belongs. It lives in identity.json of the data directory (mode
// 0600) and outlives the database.
type Identity struct {
	// Version of the file's form, IdentityVersion. Fields of a later holon that
	// keeps the version are kept when this one writes the file.
	Version    int                `json:"version,omitempty"`
	Name       string             `json:"name"`
	Key        ed25519.PrivateKey `json:"key"`
	Cluster    string             `json:"cluster"`
	ClusterKey ed25519.PublicKey  `json:"clusterKey"`
	// ClusterPrivate is there on the node that made the cluster.
	ClusterPrivate ed25519.PrivateKey `json:"clusterPrivate,omitempty"`
	Chain          []byte             `json:"chain"`  // cert.Chain, leaf first
	CACert         []byte             `json:"caCert"` // PEM, of the API
	CAKey          []byte             `json:"caKey"`  // PEM; every member can serve the API
	// DataKeys open what is sealed (crdt/seal), oldest first.
	DataKeys [][]byte `json:"dataKeys,omitempty"`
	// Known are the members that let this node in, to be dialled first.
	Known []p2p.Member `json:"known,omitempty"`

	later map[string]json.RawMessage // fields that this version does not know
}

// IdentityVersion is what Save writes. A file without a version is of version 1
// too: holon 0.1 wrote none.
const IdentityVersion = 1

// Peer is the peer ID that follows from the key.
func (id *Identity) Peer() p2p.PeerID {
	return cert.PeerIDOf(id.Key.Public().(ed25519.PublicKey))
}

const identityFile = "identity.json"

// ErrNoIdentity says that a data directory belongs to no node yet.
var ErrNoIdentity = errors.New("data directory holds no node identity")

// LoadIdentity reads the identity in a data directory.
func LoadIdentity(dir string) (Identity, error) {
	var id Identity
	path := filepath.Join(dir, identityFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return id, ErrNoIdentity
	}
	if err != nil {
		return id, err
	}
	if id, err = decodeIdentity(text); err != nil {
		return id, fmt.Errorf("%s is damaged: %w; restore it from a copy, or move the data directory away and join again", path, err)
	}
	if id.Version > IdentityVersion {
		return id, fmt.Errorf("%s is of version %d, this holon reads up to %d: install the holon that wrote it", path, id.Version, IdentityVersion)
	}
	return id, id.check(path)
}

func decodeIdentity(text []byte) (Identity, error) {
	var id Identity
	err := errors.Join(json.Unmarshal(text, &id), json.Unmarshal(text, &id.later))
	for field := range reflect.TypeFor[Identity]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		delete(id.later, name)
	}
	return id, err
}

// fields is the identity as JSON by field, empty ones left out.
func (id *Identity) fields() (map[string]json.RawMessage, error) {
	text, err := json.Marshal(id)
	if err != nil {
		return nil, err
	}
	var out map[string]json.RawMessage
	return out, json.Unmarshal(text, &out)
}

func (id *Identity) encode() ([]byte, error) {
	id.Version = IdentityVersion
	all, err := id.fields()
	if err != nil {
		return nil, err
	}
	for name, value := range id.later {
		if _, known := all[name]; !known {
			all[name] = value
		}
	}
	return json.MarshalIndent(all, "", "  ")
}

func (id *Identity) check(path string) error {
	chain, err := cert.DecodeChain(id.Chain)
	if err == nil {
		err = chain.VerifyPeer(id.Cluster, id.ClusterKey, id.Peer())
	}
	if err != nil {
		return fmt.Errorf("%s does not prove membership: %w; move the data directory away and join again", path, err)
	}
	return nil
}

// Save writes the identity, whole or not at all.
func (id *Identity) Save(dir string) error {
	text, err := id.encode()
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(dir, identityFile), text, 0o600)
}

// NewKey makes the key of a node.
func NewKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// Found makes a new cluster with this node as its first member. The API's CA is
// still to be filled in: package api makes it.
func Found(name string, key ed25519.PrivateKey, introduce bool) (Identity, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Identity{}, err
	}
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return Identity{}, err
	}
	id := Identity{Name: name, Key: key, Cluster: hex.EncodeToString(random[:16]), ClusterKey: public, ClusterPrivate: private}
	chain, err := cert.Issue(private, nil, cert.Request{
		Cluster: id.Cluster, Name: name, PublicKey: key.Public().(ed25519.PublicKey), Introducer: introduce, Serial: [16]byte(random[16:]),
	})
	if err != nil {
		return Identity{}, err
	}
	if id.Chain, err = chain.Encode(); err != nil {
		return Identity{}, err
	}
	first, err := NewDataKey()
	id.DataKeys = [][]byte{first}
	return id, err
}

// Retire sets aside the identity and the database of a node that has left, and
// what goes with them, so that the data directory can serve another life.
func Retire(dir string) error {
	for _, name := range []string{identityFile, StateDir, MarkFile, KnownFile} {
		old := filepath.Join(dir, name+".left")
		if err := os.RemoveAll(old); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(dir, name), old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// StateDir is the database's directory inside the data directory.
const StateDir = "state"

// WriteFile replaces a file atomically and syncs it and its directory, so that a
// power cut leaves the old content or the new one.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return replaceFile(path, mode, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// replaceFile is WriteFile for content that depends on the file.
func replaceFile(path string, mode fs.FileMode, write func(f *os.File) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	err = errors.Join(write(tmp), tmp.Chmod(mode))
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes durable which files a directory has.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
