package node

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"holon/p2p"
)

// KnownFile names the members as this node last knew them. It is read only when
// the database is new: a node that lost it would otherwise know nobody but those
// who let it in, and the node that made the cluster nobody at all, so neither
// could ask its peers, nor would it listen to them.
const KnownFile = "known.json"

// knownMax bounds the file: some 10,000 members.
const knownMax = 4 << 20

// known is the file.
type known struct {
	Version int          `json:"version"`
	Members []p2p.Member `json:"members"`
}

const knownFormat = 1

// remember writes the members down. It is a help for a bad day: if the disk is
// full, only that day is worse.
func (n *Node) remember(members []p2p.Member) {
	text, err := json.Marshal(known{Version: knownFormat, Members: p2p.Present(members)})
	if err == nil && len(text) <= knownMax {
		err = WriteFile(filepath.Join(n.cfg.DataDir, KnownFile), text, 0o600)
	}
	if err != nil {
		n.log.Warn("the members could not be written down", "file", KnownFile, "error", err)
	}
}

// remembered reads what remember wrote, without this node itself.
func remembered(dir string, self p2p.PeerID) ([]p2p.Member, error) {
	f, err := os.Open(filepath.Join(dir, KnownFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, knownMax))
	if err != nil {
		return nil, err
	}
	members, err := decodeKnown(text)
	return slices.DeleteFunc(members, func(m p2p.Member) bool { return m.ID == self || m.ID == "" }), err
}

// decodeKnown reads a file of any version: what a later one means by its members
// is a help, and never believed before they have proven who they are.
func decodeKnown(text []byte) ([]p2p.Member, error) {
	var k known
	err := json.Unmarshal(text, &k)
	return k.Members, err
}

// alsoKnown adds members to those that let this node in.
func alsoKnown(first, more []p2p.Member) []p2p.Member {
	all := slices.Clone(first)
	for _, m := range more {
		if !slices.ContainsFunc(first, func(k p2p.Member) bool { return k.ID == m.ID }) {
			all = append(all, m)
		}
	}
	return all
}
