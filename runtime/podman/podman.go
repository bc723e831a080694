//go:build remote

package podman

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings"
	"github.com/containers/podman/v5/pkg/bindings/system"
	"holon/runtime"
)

const (
	// lookLimit bounds a request that only reads; a service that takes longer
	// counts as down.
	lookLimit = 30 * time.Second
	// changeLimit bounds a request that creates, starts or removes.
	changeLimit        = 2 * time.Minute
	defaultPullTimeout = 10 * time.Minute
)

// Runtime is a runtime.Runtime on one Podman service.
type Runtime struct {
	cfg     Config
	link    *link
	locks   keyedLocks
	seen    memory
	pulse   pulse // fired together with changes, for followers of logs
	litter  litter
	changes chan struct{}
	stop    context.CancelFunc
	done    sync.WaitGroup

	infoMu sync.Mutex
	info   runtime.Info
	infoOf context.Context // the connection that info was asked on
}

var _ runtime.Runtime = (*Runtime)(nil)

// New returns a Runtime. It succeeds while the service is down: Info and all
// other methods then fail with Unavailable until it is back. ctx bounds New,
// not the Runtime; end that with Close.
func New(_ context.Context, cfg Config) (*Runtime, error) {
	if cfg.Node == "" || cfg.Cluster == "" || !filepath.IsAbs(cfg.Dir) {
		return nil, &runtime.Error{
			Kind: runtime.BadSpec, Op: "use Podman",
			Err: fmt.Errorf("node %q, cluster %q and directory %q: none may be empty, and the directory must be absolute", cfg.Node, cfg.Cluster, cfg.Dir),
		}
	}
	if cfg.LogBytesMax == 0 {
		cfg.LogBytesMax = DefaultLogBytesMax
	}
	if cfg.PullTimeout == 0 {
		cfg.PullTimeout = defaultPullTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	life, stop := context.WithCancel(context.Background())
	r := &Runtime{
		cfg:     cfg,
		link:    newLink(cfg.URL),
		changes: make(chan struct{}, 1),
		stop:    stop,
	}
	r.done.Go(func() { r.watch(life) })
	return r, nil
}

// Close stops watching and drops the connection. Pods go on running.
func (r *Runtime) Close() error {
	r.stop()
	r.done.Wait()
	r.litter.sweepAll()
	r.link.close()
	return nil
}

// Changes implements runtime.Runtime.
func (r *Runtime) Changes() <-chan struct{} { return r.changes }

// hint says that Pods may have changed.
func (r *Runtime) hint() {
	r.pulse.fire()
	select {
	case r.changes <- struct{}{}:
	default: // one is waiting already
	}
}

func (r *Runtime) look(ctx context.Context, op string, f func(context.Context) error) error {
	return r.link.call(ctx, lookLimit, op, f)
}

func (r *Runtime) change(ctx context.Context, op string, f func(context.Context) error) error {
	return r.link.call(ctx, changeLimit, op, f)
}

// Info implements runtime.Runtime. The description is asked once for each
// connection, after that only whether the service answers.
func (r *Runtime) Info(ctx context.Context) (runtime.Info, error) {
	s, err := r.link.open(ctx)
	if err != nil {
		return runtime.Info{}, err
	}
	r.infoMu.Lock()
	info, known := r.info, r.infoOf == s.conn
	r.infoMu.Unlock()
	if known {
		return info, r.look(ctx, "ping Podman", ping)
	}
	err = r.look(ctx, "ask Podman about itself", func(ctx context.Context) error {
		host, err := system.Info(ctx, nil)
		if err == nil {
			if info = describe(host); isLocal(s) && host.Store != nil {
				info.Storage = host.Store.GraphRoot
			}
		}
		return err
	})
	if err != nil {
		return runtime.Info{}, err
	}
	r.infoMu.Lock()
	r.info, r.infoOf = info, s.conn
	r.infoMu.Unlock()
	return info, nil
}

func ping(ctx context.Context) error {
	conn, err := bindings.GetClient(ctx)
	if err != nil {
		return err
	}
	resp, err := conn.DoRequest(ctx, nil, http.MethodGet, "/_ping", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return resp.Process(nil)
}

func describe(host *define.Info) runtime.Info {
	info := runtime.Info{Name: "podman", Version: host.Version.Version}
	if host.Host == nil {
		return info
	}
	if oci := host.Host.OCIRuntime; oci != nil {
		info.Notes = append(info.Notes, fmt.Sprintf("OCI runtime %s, cgroups %s", oci.Name, host.Host.CgroupsVersion))
	}
	if host.Host.Security.Rootless {
		info.Notes = append(info.Notes, "Podman is rootless: pods are reached through hostPorts only, not by their own address")
		if host.Host.CgroupsVersion == "v1" {
			info.Notes = append(info.Notes, "rootless Podman on cgroups v1 ignores cpu and memory limits")
		}
	}
	return info
}
