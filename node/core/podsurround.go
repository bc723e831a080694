package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"holon/runtime"
)

func hostPath(v *corev1.Volume) runtime.Volume {
	h := &runtime.HostPath{Path: v.HostPath.Path}
	if v.HostPath.Type != nil {
		h.Type = string(*v.HostPath.Type)
	}
	return runtime.Volume{Name: v.Name, HostPath: h}
}

func emptyDir(v *corev1.Volume) runtime.Volume {
	out := runtime.Volume{Name: v.Name}
	if e := v.EmptyDir; e != nil && e.Medium == corev1.StorageMediumMemory {
		out.Memory = true
		if e.SizeLimit != nil {
			out.Limit = e.SizeLimit.Value()
		}
	}
	return out
}

// surround says what a pod's containers see of each other and of the net.
func surround(spec *runtime.Spec, from *corev1.PodSpec) {
	for _, a := range from.HostAliases {
		spec.Hosts = append(spec.Hosts, runtime.Host{IP: a.IP, Names: a.Hostnames})
	}
	spec.ShareIDs = from.ShareProcessNamespace != nil && *from.ShareProcessNamespace
	if from.DNSPolicy != corev1.DNSNone || from.DNSConfig == nil {
		return
	}
	spec.DNS = &runtime.DNS{Servers: slices.Clone(from.DNSConfig.Nameservers), Searches: slices.Clone(from.DNSConfig.Searches)}
	for _, o := range from.DNSConfig.Options {
		option := o.Name
		if o.Value != nil {
			option += ":" + *o.Value
		}
		spec.DNS.Options = append(spec.DNS.Options, option)
	}
}
