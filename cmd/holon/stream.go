package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// stream opens an answer that may take as long as it likes, but must not stand
// still for longer than the request timeout.
func (c *client) stream(ctx context.Context, r request) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &patientBody{client: c, cancel: cancel}
	if c.timeout > 0 {
		s.timer = time.AfterFunc(c.timeout, func() { s.stalled.Store(true); cancel() })
	}
	body, err := c.open(ctx, r)
	if err != nil {
		s.stop()
		if errors.Is(err, io.EOF) {
			err = s.cut(err)
		}
		return nil, s.explain(err)
	}
	s.body = body
	return s, nil
}

// patientBody ends an answer that stands still.
type patientBody struct {
	client  *client
	body    io.ReadCloser
	timer   *time.Timer // nil: for ever
	stalled atomic.Bool
	cancel  context.CancelFunc
}

func (s *patientBody) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if s.timer != nil {
		s.timer.Reset(s.client.timeout)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.explain(s.cut(err))
	}
	return n, err
}

// cut says that the node hung up.
func (s *patientBody) cut(err error) error {
	return fmt.Errorf("%s ended its answer too early (%v); try again, its log says why: %w", s.client.where, err, errUnreachable)
}

func (s *patientBody) explain(err error) error {
	if s.stalled.Load() {
		return s.client.explain(context.DeadlineExceeded)
	}
	return err
}

func (s *patientBody) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.cancel()
}

// Close ends the answer.
func (s *patientBody) Close() error {
	s.stop()
	return s.body.Close()
}
