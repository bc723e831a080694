package node

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"

	"holon/node/core"
)

// serveGRPC starts a server, and tells its port.
func serveGRPC(t *testing.T, register func(*grpc.Server)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	register(server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() { server.Stop(); <-done })
	return l.Addr().(*net.TCPAddr).Port
}

// silent never answers a question for its health.
type silent struct {
	healthpb.UnimplementedHealthServer
}

func (silent) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestProbeGRPC asks real servers.
func TestProbeGRPC(t *testing.T) {
	states := health.NewServer()
	states.SetServingStatus("good", healthpb.HealthCheckResponse_SERVING)
	states.SetServingStatus("bad", healthpb.HealthCheckResponse_NOT_SERVING)
	healthy := serveGRPC(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, states) })
	without := serveGRPC(t, func(*grpc.Server) {})
	mute := serveGRPC(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, silent{}) })
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	through := patientRuntime{dial: func(ctx context.Context, _ int) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: healthy}).String())
	}}
	name := func(s string) *string { return &s }
	for _, c := range []struct {
		name    string
		ip      string
		port    int
		service *string
		ok      bool
		said    string
	}{
		{"the server as such", "127.0.0.1", healthy, nil, true, ""},
		{"by the empty name", "127.0.0.1", healthy, name(""), true, ""},
		{"a service that serves", "127.0.0.1", healthy, name("good"), true, ""},
		{"where only the runtime gets", "", 1, name("good"), true, ""},
		{"a service that does not", "127.0.0.1", healthy, name("bad"), false, `responded with "NOT_SERVING"`},
		{"a service that nobody knows", "127.0.0.1", healthy, name("absent"), false, "NotFound: unknown service"},
		{"a server without the protocol", "127.0.0.1", without, nil, false, "does not implement the gRPC health protocol"},
		{"a server that says nothing", "127.0.0.1", mute, nil, false, "DeadlineExceeded"},
		{"nobody", "127.0.0.1", nobody.Addr().(*net.TCPAddr).Port, nil, false, "connection refused"},
	} {
		p := core.Probe{Target: core.Target{IP: c.ip}, Spec: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: int32(c.port), Service: c.service}}}}
		wantProbed(t, c.name, probing(through).examine(t.Context(), p), c.ok, c.said)
	}
}
