package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"holon/testnet/golden"
)

func TestGoldenFormats(t *testing.T) {
	golden.Check(t, golden.Format{
		Name: "image.v1",
		Make: func(t *testing.T) []byte {
			id := strings.Repeat("ab", 32)
			var b bytes.Buffer
			f := &frames{w: &b}
			for _, v := range []any{request{Op: opRead, Ref: "app:1", ID: id, Offset: 5, Prefix: "cd"}, offer{ID: id, Size: 7, Used: 2}} {
				line, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				b.Write(append(line, '\n'))
			}
			if err := errors.Join(f.putJSON(frameHead, head{Offset: 5}), f.put(frameData, []byte("hi")), f.put(frameWait, []byte("wait")),
				f.putJSON(frameEnd, end{Size: 7, SHA256: "ef"}), f.putJSON(frameEnd, end{Error: "no", Busy: true})); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		},
		Read: func(b []byte) (string, error) {
			line, rest, _ := bytes.Cut(b, []byte("\n"))
			req, err := decodeRequest(line)
			line, rest, _ = bytes.Cut(rest, []byte("\n"))
			var o offer
			words := fmt.Sprintf("%s %s %s from %d, prefix %s\n", req.Op, req.Ref, Short(req.ID), req.Offset, req.Prefix)
			err = errors.Join(err, json.Unmarshal(line, &o))
			words += fmt.Sprintf("offer %s, %d bytes, %d containers\n", Short(o.ID), o.Size, o.Used)
			r, buf := bytes.NewReader(rest), make([]byte, frameMax)
			for r.Len() > 0 {
				kind, payload, err := readFrame(r, buf)
				if err != nil {
					return words, err
				}
				var h head
				var e end
				switch kind {
				case frameHead:
					err = json.Unmarshal(payload, &h)
					words += fmt.Sprintf("goes on at %d\n", h.Offset)
				case frameEnd:
					err = json.Unmarshal(payload, &e)
					words += fmt.Sprintf("end of %d bytes, digest %s, error %q, busy %t\n", e.Size, e.SHA256, e.Error, e.Busy)
				default:
					words += fmt.Sprintf("frame %d %q\n", kind, payload)
				}
				if err != nil {
					return words, err
				}
			}
			return words, err
		},
	})
}

// FuzzRequest: what a peer asks for is no path and no negative offset.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"op":"read","id":"` + strings.Repeat("ab", 32) + `","offset":5}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := decodeRequest(line)
		if err == nil && (strings.ContainsAny(r.ID, "./") || r.Offset < 0 || len(r.Ref) > refMax) {
			t.Fatalf("%+v", r)
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add(forged([]byte("hello"), endOf([]byte("hello")), head{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, buf := bytes.NewReader(b), make([]byte, frameMax)
		for left := r.Len(); ; left = r.Len() {
			_, payload, err := readFrame(r, buf)
			if err != nil {
				return
			}
			if len(payload) > frameMax || r.Len() != left-5-len(payload) {
				t.Fatalf("%d bytes, %d of %d left", len(payload), r.Len(), left)
			}
		}
	})
}
