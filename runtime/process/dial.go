package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"holon/runtime"
)

// Dial implements runtime.Runtime. A pod has no network of its own here, so that any other
// port would be a program's that has nothing to do with it.
func (r *Runtime) Dial(ctx context.Context, id runtime.RunID, port int) (net.Conn, error) {
	op := fmt.Sprintf("connect to port %d of %s", port, id)
	r.mu.Lock()
	p := r.pods[id]
	r.mu.Unlock()
	if p == nil {
		return nil, &runtime.Error{Kind: runtime.NotFound, Op: op, Err: errors.New("no such pod on this node")}
	}
	for _, c := range p.record.Spec.Containers {
		listens, _, err := planPorts(c, p.record.IP, r.hostAddress(&p.record.Spec), r.cfg.Subnet.IsValid())
		if err != nil {
			return nil, &runtime.Error{Kind: runtime.BadSpec, Op: op, Err: err}
		}
		at := slices.IndexFunc(listens, func(l listenOrder) bool { return l.Protocol == "tcp" && l.Port == port })
		if at < 0 {
			continue
		}
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", listens[at].address())
		if err != nil {
			return nil, &runtime.Error{Kind: runtime.Failed, Op: op, Err: err}
		}
		return conn, nil
	}
	return nil, &runtime.Error{
		Kind: runtime.Failed, Op: op, Err: errors.New("no container of the pod declares this port"),
		Next: "add it to the container's ports: processes share the node's network, and the port could be anybody's",
	}
}
