//go:build remote

package podman

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/pods"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"github.com/containers/podman/v5/pkg/specgen"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"holon/runtime"
)

const (
	trialLimit  = time.Minute
	trialMemory = 32 << 20
	trialPoll   = 20 * time.Millisecond
)

// TrialContainer runs a container on the service at url as a pod would run it:
// in a pod with a network, with limits on cpu and memory, on the pause image
// that Podman builds itself. Nothing is left of it. The error says what does
// not work.
func TrialContainer(ctx context.Context, url string) error {
	l := newLink(url)
	defer l.close()
	return l.call(ctx, trialLimit, "run a trial container", func(ctx context.Context) error {
		name := "holon-trial-" + strings.ToLower(rand.Text()[:12])
		var p specgen.PodSpecGenerator
		p.Name = name
		p.Labels = map[string]string{"io.holon.trial": "true"}
		made, err := pods.CreatePodFromSpec(ctx, &types.PodSpec{PodSpecGen: p})
		if err != nil {
			return err
		}
		report, err := pods.Inspect(ctx, made.Id, nil)
		if err == nil {
			var rest litter
			rest.add(report.CgroupPath)
			defer rest.sweepAll() // after the pod's removal below
			err = trialIn(ctx, report, name)
		}
		// Also after a deadline: the pod must not stay.
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), trialLimit)
		defer cancel()
		_, gone := pods.Remove(tidy, made.Id, &pods.RemoveOptions{Force: ptr(true), Timeout: ptr(uint(0))})
		return errors.Join(err, gone)
	})
}

func trialIn(ctx context.Context, pod *types.PodInspectReport, name string) error {
	infra, err := containers.Inspect(ctx, pod.InfraContainerID, nil)
	if err != nil {
		return err
	}
	// Podman would start it for the other container's sake, but then hides why
	// it could not.
	if err := containers.Start(ctx, infra.ID, nil); err != nil {
		return err
	}
	s := specgen.NewSpecGenerator(infra.Image, false)
	s.Name, s.Pod = name+"-container", pod.ID // pods and containers share their names
	s.Entrypoint = append([]string{infra.Path}, "--version")
	s.ResourceLimits = &specs.LinuxResources{
		CPU:    &specs.LinuxCPU{Period: ptr(uint64(cpuPeriod)), Quota: ptr(int64(cpuPeriod))},
		Memory: &specs.LinuxMemory{Limit: ptr(int64(trialMemory))},
	}
	made, err := containers.CreateWithSpec(ctx, s, nil)
	if err != nil {
		return err
	}
	if err := containers.Start(ctx, made.ID, nil); err != nil {
		return err
	}
	for {
		c, err := containers.Inspect(ctx, made.ID, nil)
		if err != nil {
			return err
		}
		if c.State.Status == "exited" {
			if c.State.ExitCode != 0 {
				return fmt.Errorf("the trial container exited with code %d", c.State.ExitCode)
			}
			return nil
		}
		select {
		case <-time.After(trialPoll):
		case <-ctx.Done():
			return fmt.Errorf("the trial container is still %s: %w", c.State.Status, ctx.Err())
		}
	}
}

// tryAll starts the service with one candidate after the other until a trial
// container runs. It keeps what works, and why others were not taken.
func (s *Service) tryAll(ctx context.Context, log *slog.Logger) error {
	var refused []error
	for _, oci := range []string{"crun", "runc"} {
		if _, err := exec.LookPath(oci); err != nil {
			continue
		}
		for _, ulimits := range ulimitCandidates() {
			s.settings.OCIRuntime, s.settings.Ulimits = oci, ulimits
			err := s.start(ctx)
			if err == nil {
				if err = TrialContainer(ctx, s.URL); err == nil {
					return s.accept(refused, log)
				}
				err = errors.Join(err, s.Stop(ctx))
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			err = fmt.Errorf("%s with %s: %w", oci, inWords(ulimits), rootCause(err))
			log.Info("trial container failed", "runtime", oci, "ulimits", inWords(ulimits), "err", err)
			refused = append(refused, err)
			if !strings.Contains(err.Error(), "rlimit") {
				break // other limits will not help
			}
		}
	}
	if len(refused) == 0 {
		return errors.New("neither crun nor runc is installed")
	}
	return fmt.Errorf("no trial container ran: %w", errors.Join(refused...))
}

func (s *Service) accept(refused []error, log *slog.Logger) error {
	s.OCIRuntime = s.settings.OCIRuntime
	s.Notes = []string{fmt.Sprintf("OCI runtime %s with %s: a trial container ran", s.OCIRuntime, inWords(s.settings.Ulimits))}
	if !mayRaiseLimits() {
		s.Notes = append(s.Notes, "not Podman's default ulimits: without CAP_SYS_RESOURCE they are above what this machine allows")
	}
	for _, err := range refused {
		s.Notes = append(s.Notes, "not "+strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	s.settings.Notes = s.Notes
	log.Info("Podman service is ready", "url", s.URL, "runtime", s.OCIRuntime, "ulimits", inWords(s.settings.Ulimits), "subnet", s.settings.Subnet)
	return s.save()
}

// rootCause drops the operation from a typed error: the trial's is said once.
func rootCause(err error) error {
	var e *runtime.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// mayRaiseLimits reports whether this process has CAP_SYS_RESOURCE. Without it
// a container's limits may not be above the hard limits, as Podman's defaults
// are.
func mayRaiseLimits() bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(status), "\nCapEff:\t")
	word, _, _ := strings.Cut(rest, "\n")
	caps, err := strconv.ParseUint(word, 16, 64)
	return err != nil || caps&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// ulimitCandidates lists limits for containers, the wished first: Podman's own
// defaults, then this process's hard limits, then little. Podman lowers its own
// limit on processes to that on files.
func ulimitCandidates() [][]string {
	var out [][]string
	if mayRaiseLimits() {
		out = append(out, nil)
	}
	var files, processes unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil && unix.Getrlimit(unix.RLIMIT_NPROC, &processes) == nil {
		out = append(out, ulimits(files.Max, min(files.Max, processes.Max)))
	}
	return append(out, ulimits(1024, 1024))
}

func ulimits(files, processes uint64) []string {
	return []string{fmt.Sprintf("nofile=%d:%d", files, files), fmt.Sprintf("nproc=%d:%d", processes, processes)}
}

func inWords(ulimits []string) string {
	if len(ulimits) == 0 {
		return "Podman's default ulimits"
	}
	return "ulimits " + strings.Join(ulimits, " ")
}
