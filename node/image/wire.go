package image

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"holon/p2p"
	"holon/runtime"
)

// Protocol of the streams between nodes:
//
//	client -> server   request, one JSON line
//	server -> client   ask, list: JSON. read, get: frames, of which the last is the end
//
// A frame is a part, see p2p.WritePart. A reader passes over frames of a type that it
// does not know.
const Protocol = "/holon/image/1"

const (
	frameHead byte = iota + 1 // JSON head: what the data begins with
	frameData                 // a part of the archive
	frameWait                 // nothing yet, and in words why
	frameEnd                  // JSON end
)

const (
	frameMax   = 64 << 10
	requestMax = 4 << 10
	refMax     = 1 << 10
	listMax    = 8 << 20
)

// What a request is for.
const (
	opAsk  = "ask"  // who has Ref? answered with an offer
	opList = "list" // what is there? answered with a list of images
	opRead = "read" // the archive of ID from Offset on
	opGet  = "get"  // bring Ref to yourself; answered with waits and an end
)

type request struct {
	Op  string `json:"op"`
	Ref string `json:"ref,omitempty"`
	ID  string `json:"id,omitempty"`
	// Offset is how much the client has, and Prefix the SHA-256 of that, in hex.
	Offset int64  `json:"offset,omitempty"`
	Prefix string `json:"prefix,omitempty"`
}

// offer answers an ask. Without an ID the node does not have the image.
type offer struct {
	ID   string `json:"id,omitempty"`
	Size int64  `json:"size,omitempty"`
	Used int    `json:"used,omitempty"` // containers of it
}

// head begins the data: at Offset, or at 0 if the client's part is of other bytes.
type head struct {
	Offset int64 `json:"offset"`
}

// end is the last frame: the whole archive's size and SHA-256, or why there is none.
type end struct {
	Size   int64  `json:"size,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	Error  string `json:"error,omitempty"`
	// Busy: ask again in a moment, or somebody else.
	Busy bool `json:"busy,omitempty"`
}

// frames writes frames; it may be shared.
type frames struct {
	mu sync.Mutex
	w  io.Writer
}

func (f *frames) put(kind byte, payload []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return p2p.WritePart(f.w, kind, payload)
}

func (f *frames) putJSON(kind byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return f.put(kind, text)
}

// readFrame reads a frame into buf, which must hold frameMax.
func readFrame(r io.Reader, buf []byte) (kind byte, payload []byte, err error) {
	return p2p.ReadPart(r, frameMax, buf)
}

func decodeRequest(line []byte) (request, error) {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return r, err
	}
	if len(r.Ref) > refMax || r.Offset < 0 || r.ID != "" && !isID(r.ID) {
		return r, fmt.Errorf("request %s of image %.80q %.80q from %d on", r.Op, r.Ref, r.ID, r.Offset)
	}
	return r, nil
}

// isID tells IDs, which also name files, from everything else.
func isID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(id) == 64
}

func validOffer(o offer) bool {
	return isID(o.ID) && o.Size >= 0 && o.Size <= archiveBytesMax && o.Used >= 0
}

func decodeImages(r io.Reader) (list []runtime.Image, err error) {
	err = json.NewDecoder(io.LimitReader(r, listMax)).Decode(&list)
	return list, err
}
