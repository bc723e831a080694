package core

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/crdt/state"
	"holon/runtime"
)

// podSpec makes the order for a run: ConfigMaps resolved, every variable known
// except the pod's address, which only the runtime knows, and the values of
// Secrets, which stay sealed: the shell opens them right before the runtime gets
// them, so that no plaintext waits in a queue. It fails while a ConfigMap or
// Secret that is not optional is missing.
func (c *Core) podSpec(r *run) (*runtime.Spec, []SealedUse, error) {
	t := r.template
	var sealed []SealedUse
	spec := &runtime.Spec{
		ID: runtime.RunID(r.id), Namespace: r.workload.Namespace, Name: podName(r.workload, r.slot.ID, r.revision, r.id),
		UID: c.podUID(r.workload, r.slot.ID, r.id), Slot: r.slot.ID.String(), CreatedAt: r.created, Hostname: t.Spec.Hostname,
		HostIP: c.host.HostIP, Labels: t.Labels,
	}
	requests := c.needsOf(r).requests
	spec.Requests = runtime.Requests{CPU: requests.CPU, Memory: requests.Memory}
	if spec.Hostname == "" {
		spec.Hostname = spec.Name
	}
	index := jobIndex(r)
	pod, readOnly := r.workload.PodSpec(t, r.slot.ID.Index), map[string]bool{}
	for i := range pod.Volumes {
		v, uses, err := c.volume(r, spec, &pod.Volumes[i])
		if err != nil {
			return nil, nil, err
		}
		if claim := pod.Volumes[i].PersistentVolumeClaim; claim != nil {
			readOnly[v.Name] = claim.ReadOnly
		}
		for _, use := range uses {
			use.Volume = i
			sealed = append(sealed, use)
		}
		spec.Volumes = append(spec.Volumes, v)
	}
	surround(spec, &t.Spec)
	if s := t.Spec.SecurityContext; s != nil {
		spec.FSGroup = s.FSGroup
		shareWith(spec.FSGroup, spec.Volumes)
	}
	begun, all := c.runner.begun(r), r.containers()
	for i := range all {
		container := fixedPart(&all[i], r.role(i))
		container.Security = securityOf(t.Spec.SecurityContext, all[i].SecurityContext)
		if container.Waits = !begun[i]; !container.Waits {
			uses, err := c.variables(r, spec, &all[i], &container)
			if err != nil {
				return nil, nil, fmt.Errorf("container %s: %w", all[i].Name, err)
			}
			for _, use := range uses {
				use.Container = i
				sealed = append(sealed, use)
			}
			container.Env = append(container.Env, index...)
		}
		for j := range container.Mounts {
			m := &container.Mounts[j]
			m.ReadOnly = m.ReadOnly || readOnly[m.Volume]
		}
		spec.Containers = append(spec.Containers, container)
	}
	return spec, sealed, nil
}

// podUID is the UID of the Pod object that shows a run: the object's own for a
// bare pod.
func (c *Core) podUID(w *state.Workload, slot state.SlotID, run state.RunID) string {
	if w.Bare() {
		return w.ObjectUID.String()
	}
	return state.PodUID(slot, run).String()
}

// fixedPart is what a container is made from that depends on no other object.
func fixedPart(from *corev1.Container, as role) runtime.Container {
	out := runtime.Container{
		Name: from.Name, Image: from.Image, PullPolicy: string(from.ImagePullPolicy),
		Command: from.Command, Args: from.Args, WorkingDir: from.WorkingDir,
		CPULimit:   from.Resources.Limits.Cpu().MilliValue(),
		CPURequest: from.Resources.Requests.Cpu().MilliValue(),
		MemLimit:   from.Resources.Limits.Memory().Value(),
		Stdin:      from.Stdin, TTY: from.TTY,
		Message: runtime.Message{Path: from.TerminationMessagePath, FromLog: from.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError},
	}
	for _, p := range from.Ports {
		if as == initRole {
			break // see state.HostPorts
		}
		protocol := string(p.Protocol)
		if protocol == "" {
			protocol = "TCP"
		}
		out.Ports = append(out.Ports, runtime.Port{
			Name: p.Name, ContainerPort: int(p.ContainerPort), HostPort: int(p.HostPort), HostIP: p.HostIP, Protocol: protocol,
		})
	}
	for _, m := range from.VolumeMounts {
		out.Mounts = append(out.Mounts, runtime.Mount{Volume: m.Name, Path: m.MountPath, SubPath: m.SubPath, ReadOnly: m.ReadOnly})
	}
	return out
}

// variables adds those of a container, and says which of them are sealed.
func (c *Core) variables(r *run, spec *runtime.Spec, from *corev1.Container, out *runtime.Container) (sealed []SealedUse, err error) {
	// add appends a variable, and where its value comes from if that is sealed.
	add := func(env runtime.Env, use *SealedUse) {
		if use != nil {
			use.Env, env.Secret = len(out.Env), true
			sealed = append(sealed, *use)
		}
		out.Env = append(out.Env, env)
	}
	for _, source := range from.EnvFrom {
		if source.SecretRef != nil {
			uses, err := c.secretUses(spec.Namespace, source.SecretRef.Name, source.SecretRef.Optional)
			if err != nil {
				return nil, err
			}
			for _, use := range uses {
				add(runtime.Env{Name: source.Prefix + use.name}, &use.SealedUse)
			}
			continue
		}
		env, err := c.envFrom(spec.Namespace, &source)
		if err != nil {
			return nil, err
		}
		out.Env = append(out.Env, env...)
	}
	for i := range from.Env {
		if source := from.Env[i].ValueFrom; source != nil && source.SecretKeyRef != nil {
			use, err := c.secretKey(spec.Namespace, source.SecretKeyRef)
			if err != nil {
				return nil, err
			}
			if use != nil {
				add(runtime.Env{Name: from.Env[i].Name}, use)
			}
			continue
		}
		env, ok, err := c.env(r, spec, from.Name, &from.Env[i])
		if err != nil {
			return nil, err
		}
		if ok {
			add(env, nil)
		}
	}
	return sealed, nil
}

func (c *Core) envFrom(namespace string, source *corev1.EnvFromSource) ([]runtime.Env, error) {
	ref := source.ConfigMapRef
	if ref == nil {
		return nil, nil
	}
	cm, err := c.configMap(namespace, ref.Name)
	if err != nil || cm == nil {
		return nil, missing(err, ref.Optional, "configmap %q not found", ref.Name)
	}
	var env []runtime.Env
	for _, key := range slices.Sorted(maps.Keys(cm.Data)) {
		env = append(env, runtime.Env{Name: source.Prefix + key, Value: literal(cm.Data[key])})
	}
	return env, nil
}

// missing turns an absent optional thing into nothing, and an absent required
// one into an error.
func missing(err error, optional *bool, format string, args ...any) error {
	if err != nil || optional != nil && *optional {
		return err
	}
	return fmt.Errorf(format, args...)
}

func (c *Core) env(r *run, spec *runtime.Spec, container string, from *corev1.EnvVar) (env runtime.Env, ok bool, err error) {
	env = runtime.Env{Name: from.Name, Value: from.Value}
	switch source := from.ValueFrom; {
	case source == nil:
	case source.ConfigMapKeyRef != nil:
		ref := source.ConfigMapKeyRef
		cm, err := c.configMap(spec.Namespace, ref.Name)
		if err != nil || cm == nil {
			return env, false, missing(err, ref.Optional, "configmap %q not found", ref.Name)
		}
		value, have := cm.Data[ref.Key]
		if !have {
			return env, false, missing(nil, ref.Optional, "configmap %q has no key %q", ref.Name, ref.Key)
		}
		env.Value = literal(value)
	case source.FieldRef != nil:
		return c.downward(r, spec, env, source.FieldRef.FieldPath)
	case source.ResourceFieldRef != nil:
		if env.Value, err = c.resourceOf(r, container, source.ResourceFieldRef); err != nil {
			return env, false, fmt.Errorf("variable %s: %w", from.Name, err)
		}
	default:
		return env, false, fmt.Errorf("variable %s: this source is not supported", from.Name)
	}
	return env, true, nil
}

// volume makes the files of a volume, and says which of them are sealed.
func (c *Core) volume(r *run, spec *runtime.Spec, v *corev1.Volume) (out runtime.Volume, sealed []SealedUse, err error) {
	var files []podFile
	switch {
	case v.PersistentVolumeClaim != nil:
		kept, err := c.volumeOf(r, &state.ClaimUse{Volume: v.Name, Claim: state.MakeKey(state.Claims, spec.Namespace, v.PersistentVolumeClaim.ClaimName)})
		return runtime.Volume{Name: v.Name, Claim: kept}, nil, err
	case v.Projected != nil:
		return c.projectedVolume(r, spec, v.Name, v.Projected)
	case v.Secret != nil:
		s := v.Secret
		files, err = c.secretFiles(spec.Namespace, v.Name, &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: s.SecretName}, Items: s.Items, Optional: s.Optional,
		}, s.DefaultMode)
	case v.ConfigMap != nil:
		m := v.ConfigMap
		files, err = c.configMapFiles(spec.Namespace, v.Name, &corev1.ConfigMapProjection{
			LocalObjectReference: m.LocalObjectReference, Items: m.Items, Optional: m.Optional,
		}, m.DefaultMode)
	case v.DownwardAPI != nil:
		files, err = c.downwardFiles(r, spec, v.DownwardAPI.Items, v.DownwardAPI.DefaultMode)
	case v.HostPath != nil:
		return hostPath(v), nil, nil
	default:
		return emptyDir(v), nil, nil
	}
	if err != nil {
		return runtime.Volume{}, nil, err
	}
	out, sealed = volumeOf(v.Name, v.Secret != nil, files)
	return out, sealed, nil
}

// configMap decodes a ConfigMap on demand, or makes the one that each namespace is given;
// nil if there is none.
func (c *Core) configMap(namespace, name string) (*corev1.ConfigMap, error) {
	obj, ok, err := state.DecodeObject(c.store.record(state.MakeKey(state.ConfigMaps, namespace, name)))
	if err == nil && !ok && name == state.RootCA && c.cfg.RootCA != "" {
		return &corev1.ConfigMap{Data: map[string]string{state.RootCAKey: c.cfg.RootCA}}, nil
	}
	if err != nil || !ok {
		return nil, err
	}
	var cm corev1.ConfigMap
	// binaryData is base64 in JSON; a malformed one is an error here, not later.
	if raw, ok := obj.Value["binaryData"].(map[string]any); ok {
		for key, value := range raw {
			if text, ok := value.(string); ok {
				if _, err := base64.StdEncoding.DecodeString(text); err != nil {
					return nil, fmt.Errorf("configmap %q: binaryData %q is not base64", name, key)
				}
			}
		}
	}
	return &cm, state.Convert(obj.Value, &cm)
}
