package image

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"sync"
	"time"

	"holon/p2p"
	"holon/runtime"
)

// Serve answers one stream of another node.
func (s *Store) Serve(ctx context.Context, _ p2p.PeerID, st p2p.Stream) {
	defer st.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	defer context.AfterFunc(ctx, st.Reset)() // stopped before the Close above
	in := bufio.NewReaderSize(st, requestMax)
	line, err := in.ReadSlice('\n')
	if err != nil {
		st.Reset()
		return
	}
	req, err := decodeRequest(line)
	if err != nil {
		st.Reset()
		return
	}
	switch req.Op {
	case opAsk, opList:
		err = s.answer(ctx, st, req)
	case opRead:
		err = s.send(ctx, &frames{w: st}, req)
	case opGet:
		err = s.obey(ctx, &frames{w: st}, req)
	default:
		err = errors.New("unknown request")
	}
	if err != nil {
		st.Reset()
	}
}

// answer answers ask and list.
func (s *Store) answer(ctx context.Context, w io.Writer, req request) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	release, err := take(ctx, s.answers)
	if err != nil {
		return err
	}
	defer release()
	if req.Op == opList {
		list, err := s.cfg.Images.Images(ctx)
		if err != nil {
			return err
		}
		return json.NewEncoder(w).Encode(list)
	}
	i, err := s.cfg.Images.FindImage(ctx, req.Ref)
	if err != nil && runtime.KindOf(err) != runtime.ImageMissing {
		return err
	}
	return json.NewEncoder(w).Encode(offer{ID: i.ID, Size: i.Size, Used: i.Used})
}

// send sends the archive of an image from the client's offset on.
func (s *Store) send(ctx context.Context, out *frames, req request) error {
	release, ok := tryTake(s.served)
	if !ok {
		return out.putJSON(frameEnd, end{Busy: true, Error: "it sends as many images as it can"})
	}
	defer release()
	// A runtime saves all of an image before it hands out the first byte. A client that
	// is gone ends ctx.
	defer every(ctx, waitEvery, func() { _ = out.put(frameWait, []byte("saving the image")) })()
	archive := &sender{out: out, offset: req.Offset, prefix: req.Prefix, sum: sha256.New()}
	err := s.cfg.Images.SaveImage(ctx, req.ID, archive)
	if errors.Is(err, errOtherBytes) || err == nil && !archive.began && archive.pos < req.Offset {
		*archive = sender{out: out, sum: sha256.New()}
		err = s.cfg.Images.SaveImage(ctx, req.ID, archive)
	}
	if err == nil {
		err = archive.begin()
	}
	if err != nil {
		return out.putJSON(frameEnd, end{Error: err.Error()})
	}
	return out.putJSON(frameEnd, end{Size: archive.pos, SHA256: hex.EncodeToString(archive.sum.Sum(nil))})
}

// errOtherBytes: what the client has is no prefix of the archive.
var errOtherBytes = errors.New("the client has other bytes")

// sender is the archive on its way out. It passes over what the client has.
type sender struct {
	out    *frames
	offset int64
	prefix string
	sum    hash.Hash // of all until pos
	pos    int64
	began  bool
}

func (a *sender) Write(p []byte) (int, error) {
	n := len(p)
	if skip := min(int64(n), a.offset-a.pos); skip > 0 {
		a.sum.Write(p[:skip])
		a.pos += skip
		p = p[skip:]
	}
	if a.pos < a.offset {
		return n, nil
	}
	if err := a.begin(); err != nil {
		return 0, err
	}
	for len(p) > 0 {
		part := p[:min(len(p), frameMax)]
		if err := a.out.put(frameData, part); err != nil {
			return 0, err
		}
		a.sum.Write(part)
		a.pos += int64(len(part))
		p = p[len(part):]
	}
	return n, nil
}

// begin compares what the client has once all of it has been passed over.
func (a *sender) begin() error {
	if a.began {
		return nil
	}
	if a.offset > 0 && hex.EncodeToString(a.sum.Sum(nil)) != a.prefix {
		return errOtherBytes
	}
	a.began = true
	return a.out.putJSON(frameHead, head{Offset: a.offset})
}

// every calls f now and then until it is told to stop.
func every(ctx context.Context, d time.Duration, f func()) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				f()
			}
		}
	})
	return func() {
		cancel()
		group.Wait()
	}
}

// obey brings an image here because another node's user wants it here.
func (s *Store) obey(ctx context.Context, out *frames, req request) error {
	release, ok := tryTake(s.orders)
	if !ok {
		return out.putJSON(frameEnd, end{Busy: true, Error: "it gets as many images as it can"})
	}
	defer release()
	if i, err := s.cfg.Images.FindImage(ctx, req.Ref); err == nil && (req.ID == "" || i.ID == req.ID) {
		return out.putJSON(frameEnd, end{Size: i.Size})
	}
	t := s.Bring(req.Ref, Wanted{ID: req.ID})
	defer every(ctx, sayEvery, func() { _ = out.put(frameWait, []byte(t.Words())) })()
	r, err := t.Await(ctx)
	if err != nil {
		return out.putJSON(frameEnd, end{Error: err.Error()})
	}
	return out.putJSON(frameEnd, end{Size: r.Image.Size})
}

const sayEvery = time.Second

// Await waits for the end.
func (t *Transfer) Await(ctx context.Context) (Result, error) {
	select {
	case <-t.done:
		return t.result, t.result.Err
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}
