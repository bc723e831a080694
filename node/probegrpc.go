package node

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"

	"holon/node/core"
)

// askGRPC asks by the gRPC Health Checking Protocol as kubelet does: in the clear, on a
// connection of its own, and only SERVING is well.
func (n *Node) askGRPC(ctx context.Context, p core.Target, g *corev1.GRPCAction) error {
	conn, err := grpc.NewClient("passthrough:pod", // the dialer knows where that is
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(), grpc.WithUserAgent(probeAgent),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(probeOutputMax)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return n.dialPod(ctx, p, "", int(g.Port))
		}))
	if err != nil {
		return err
	}
	defer conn.Close()
	ask := &health.HealthCheckRequest{}
	if g.Service != nil {
		ask.Service = *g.Service
	}
	answer, err := health.NewHealthClient(conn).Check(ctx, ask)
	switch said := status.Convert(err); {
	case said.Code() == codes.Unimplemented:
		return fmt.Errorf("the server does not implement the gRPC health protocol: %s", said.Message())
	case err != nil:
		return fmt.Errorf("gRPC probe failed: %s: %s", said.Code(), said.Message())
	case answer.Status != health.HealthCheckResponse_SERVING:
		return fmt.Errorf("service unhealthy (responded with %q)", answer.Status)
	}
	return nil
}
