package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/apimachinery/pkg/util/httpstream/spdy"
	"k8s.io/apimachinery/pkg/util/httpstream/wsstream"
	"k8s.io/apimachinery/pkg/util/remotecommand"
)

// Channels of an exec WebSocket.
const (
	stdinChannel = iota
	stdoutChannel
	stderrChannel
	errorChannel
	resizeChannel
)

// openWebSocket upgrades to version 5 or 4 of channel.k8s.io. The resize channel
// is always read: its end is how the loss of the connection shows.
func openWebSocket(w http.ResponseWriter, r *http.Request, o execOptions) (*session, error) {
	kind := func(wanted bool, t wsstream.ChannelType) wsstream.ChannelType {
		if wanted {
			return t
		}
		return wsstream.IgnoreChannel
	}
	channels := []wsstream.ChannelType{
		stdinChannel:  kind(o.stdin, wsstream.ReadChannel),
		stdoutChannel: kind(o.stdout, wsstream.WriteChannel),
		stderrChannel: kind(o.stderr, wsstream.WriteChannel),
		errorChannel:  wsstream.WriteChannel,
		resizeChannel: wsstream.ReadChannel,
	}
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		remotecommand.StreamProtocolV5Name:              {Binary: true, Channels: channels},
		remotecommand.StreamProtocolV4Name:              {Binary: true, Channels: channels},
		"v4." + wsstream.Base64ChannelWebSocketProtocol: {Binary: false, Channels: channels},
	})
	conn.SetIdleTimeout(execIdleMax)
	_, streams, err := conn.Open(w, r)
	if err != nil {
		return nil, err
	}
	// An empty message tells the client that the connection stands.
	if _, err := streams[errorChannel].Write(nil); err != nil {
		_ = conn.Close() // already failed
		return nil, err
	}
	sess := &session{
		outcome: streams[errorChannel], resize: streams[resizeChannel],
		close: func() { _ = conn.Close() }, // nothing is left to be said
	}
	if o.stdin {
		sess.stdin = streams[stdinChannel]
	}
	if o.stdout {
		sess.stdout = streams[stdoutChannel]
	}
	if o.stderr {
		sess.stderr = streams[stderrChannel]
	}
	return sess, nil
}

// openSPDY upgrades to SPDY/3.1 with version 4 of channel.k8s.io.
func openSPDY(w http.ResponseWriter, r *http.Request, o execOptions) (*session, error) {
	if _, err := httpstream.Handshake(r, w, []string{remotecommand.StreamProtocolV4Name}); err != nil {
		return nil, err // answered by the library
	}
	// One more than a client may open, so that the library never waits for us.
	opened := make(chan spdyStream, resizeChannel+2)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, replied <-chan struct{}) error {
		select {
		case opened <- spdyStream{s, replied}:
			return nil
		default:
			return errors.New("too many streams")
		}
	})
	if conn == nil {
		return nil, errors.New("SPDY upgrade failed") // answered by the library
	}
	conn.SetIdleTimeout(execIdleMax)
	sess := &session{gone: conn.CloseChan(), close: func() { _ = conn.Close() }}
	if err := sess.takeStreams(opened, o); err != nil {
		sess.close()
		return nil, err
	}
	return sess, nil
}

type spdyStream struct {
	httpstream.Stream
	replied <-chan struct{}
}

// takeStreams waits for the streams that the options announce.
func (s *session) takeStreams(opened <-chan spdyStream, o execOptions) error {
	wanted := map[string]bool{
		corev1.StreamTypeError: true, corev1.StreamTypeStdin: o.stdin, corev1.StreamTypeStdout: o.stdout,
		corev1.StreamTypeStderr: o.stderr, corev1.StreamTypeResize: o.tty,
	}
	missing := 0
	for _, w := range wanted {
		if w {
			missing++
		}
	}
	timeout := time.NewTimer(execStreamsTimeout)
	defer timeout.Stop()
	for ; missing > 0; missing-- {
		select {
		case stream := <-opened:
			name := stream.Headers().Get(corev1.StreamType)
			if !wanted[name] {
				return fmt.Errorf("unexpected stream %q", name)
			}
			wanted[name] = false
			if err := s.take(name, stream, timeout.C); err != nil {
				return err
			}
		case <-timeout.C:
			return errors.New("the client did not open its streams in time")
		case <-s.gone:
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}

func (s *session) take(name string, stream spdyStream, timeout <-chan time.Time) error {
	switch name {
	case corev1.StreamTypeError:
		s.outcome = stream
	case corev1.StreamTypeStdin:
		s.stdin = stream
	case corev1.StreamTypeStdout:
		s.stdout = stream
	case corev1.StreamTypeStderr:
		s.stderr = stream
	case corev1.StreamTypeResize:
		s.resize = stream
	}
	// Nothing may be written before the reply that opens the stream.
	select {
	case <-stream.replied:
		return nil
	case <-s.gone:
		return io.ErrUnexpectedEOF
	case <-timeout:
		return errors.New("the streams could not be opened in time")
	}
}
