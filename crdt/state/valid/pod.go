package valid

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validatePodSpec(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	errs, volumes := validateVolumes(s.Volumes, at.Child("volumes"))
	v := containerValidator{names: sets.New[string](), volumes: volumes, grace: deref(s.TerminationGracePeriodSeconds)}
	errs = append(errs, v.mains(s.Containers, at.Child("containers"))...)
	errs = append(errs, v.inits(s.InitContainers, at.Child("initContainers"))...)
	errs = append(errs, oneOf(s.RestartPolicy, at.Child("restartPolicy"),
		corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)...)
	errs = append(errs, nonNegative(deref(s.TerminationGracePeriodSeconds), at.Child("terminationGracePeriodSeconds"))...)
	errs = append(errs, metavalidation.ValidateLabels(s.NodeSelector, at.Child("nodeSelector"))...)
	if s.NodeName != "" {
		errs = append(errs, invalids(at.Child("nodeName"), s.NodeName, apivalidation.NameIsDNSSubdomain(s.NodeName, false))...)
	}
	if s.Hostname != "" {
		errs = append(errs, invalids(at.Child("hostname"), s.Hostname, validation.IsDNS1123Label(s.Hostname))...)
	}
	for i := range s.Tolerations {
		errs = append(errs, validateToleration(&s.Tolerations[i], at.Child("tolerations").Index(i))...)
	}
	errs = append(errs, validateSpreads(s.TopologySpreadConstraints, at.Child("topologySpreadConstraints"))...)
	errs = append(errs, validateAffinity(s.Affinity, at.Child("affinity"))...)
	errs = append(errs, validateSurroundings(s, at)...)
	return append(errs, validatePodSecurity(s.SecurityContext, at.Child("securityContext"))...)
}

func validateImage(c *corev1.Container, at *field.Path) field.ErrorList {
	errs := oneOf(c.ImagePullPolicy, at.Child("imagePullPolicy"), corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
	switch {
	case c.Image == "":
		errs = append(errs, field.Required(at.Child("image"), ""))
	case strings.TrimSpace(c.Image) != c.Image:
		errs = append(errs, field.Invalid(at.Child("image"), c.Image, "must not have leading or trailing whitespace"))
	}
	return errs
}

func validatePorts(ports []corev1.ContainerPort, hostPorts sets.Set[string], at *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	for i, p := range ports {
		at := at.Index(i)
		if p.Name != "" {
			errs = append(errs, invalids(at.Child("name"), p.Name, validation.IsValidPortName(p.Name))...)
			if names.Has(p.Name) {
				errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
			}
			names.Insert(p.Name)
		}
		if p.ContainerPort == 0 {
			errs = append(errs, field.Required(at.Child("containerPort"), ""))
		} else {
			errs = append(errs, invalids(at.Child("containerPort"), p.ContainerPort, validation.IsValidPortNum(int(p.ContainerPort)))...)
		}
		if p.HostPort != 0 {
			errs = append(errs, invalids(at.Child("hostPort"), p.HostPort, validation.IsValidPortNum(int(p.HostPort)))...)
			id := fmt.Sprintf("%s/%s/%d", p.Protocol, p.HostIP, p.HostPort)
			if hostPorts.Has(id) {
				errs = append(errs, field.Duplicate(at.Child("hostPort"), p.HostPort))
			}
			hostPorts.Insert(id)
		}
		if p.HostIP != "" {
			errs = append(errs, validation.IsValidIP(at.Child("hostIP"), p.HostIP)...)
		}
		errs = append(errs, oneOf(p.Protocol, at.Child("protocol"), corev1.ProtocolTCP, corev1.ProtocolUDP)...)
	}
	return errs
}

func validateMounts(mounts []corev1.VolumeMount, volumes sets.Set[string], at *field.Path) field.ErrorList {
	var errs field.ErrorList
	points := sets.New[string]()
	for i, m := range mounts {
		at := at.Index(i)
		switch {
		case m.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case !volumes.Has(m.Name):
			errs = append(errs, field.NotFound(at.Child("name"), m.Name))
		}
		switch {
		case m.MountPath == "":
			errs = append(errs, field.Required(at.Child("mountPath"), ""))
		case points.Has(m.MountPath):
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must be unique"))
		case !path.IsAbs(m.MountPath):
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must be an absolute path"))
		case strings.Contains(m.MountPath, ":"):
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must not contain ':'"))
		}
		points.Insert(m.MountPath)
		if m.SubPath != "" {
			errs = append(errs, validateRelative(m.SubPath, at.Child("subPath"))...)
		}
	}
	return errs
}

func validateVolumes(volumes []corev1.Volume, at *field.Path) (errs field.ErrorList, names sets.Set[string]) {
	names = sets.New[string]()
	for i, v := range volumes {
		at := at.Index(i)
		switch {
		case v.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case names.Has(v.Name):
			errs = append(errs, field.Duplicate(at.Child("name"), v.Name))
		default:
			errs = append(errs, invalids(at.Child("name"), v.Name, validation.IsDNS1123Label(v.Name))...)
		}
		names.Insert(v.Name)
		errs = append(errs, validateOneKind(&v.VolumeSource, at)...)
		errs = append(errs, validateProjections(&v.VolumeSource, at)...)
		if c := v.ConfigMap; c != nil {
			at := at.Child("configMap")
			errs = append(errs, validateFiles(c.Name, at.Child("name"), c.DefaultMode, c.Items, at)...)
		}
		if c := v.PersistentVolumeClaim; c != nil && c.ClaimName == "" {
			errs = append(errs, field.Required(at.Child("persistentVolumeClaim", "claimName"), ""))
		}
		if s := v.Secret; s != nil {
			at := at.Child("secret")
			errs = append(errs, validateFiles(s.SecretName, at.Child("secretName"), s.DefaultMode, s.Items, at)...)
		}
	}
	return errs, names
}

// validateFiles checks a volume that shows the keys of an object as files.
func validateFiles(name string, atName *field.Path, mode *int32, items []corev1.KeyToPath, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(atName, ""))
	}
	errs = append(errs, validateMode(mode, at.Child("defaultMode"))...)
	for i, item := range items {
		at := at.Child("items").Index(i)
		if item.Key == "" {
			errs = append(errs, field.Required(at.Child("key"), ""))
		}
		if item.Path == "" {
			errs = append(errs, field.Required(at.Child("path"), ""))
		} else {
			errs = append(errs, validateRelative(item.Path, at.Child("path"))...)
		}
		errs = append(errs, validateMode(item.Mode, at.Child("mode"))...)
	}
	return errs
}

func validateMode(mode *int32, at *field.Path) field.ErrorList {
	if m := deref(mode); m < 0 || m > 0o777 {
		return field.ErrorList{field.Invalid(at, m, "must be a number between 0 and 0777 (octal), both inclusive")}
	}
	return nil
}

// validateRelative keeps a path inside its volume.
func validateRelative(p string, at *field.Path) field.ErrorList {
	switch {
	case path.IsAbs(p):
		return field.ErrorList{field.Invalid(at, p, "must be a relative path")}
	case slices.Contains(strings.Split(p, "/"), ".."):
		return field.ErrorList{field.Invalid(at, p, "must not contain '..'")}
	}
	return nil
}

func validateToleration(t *corev1.Toleration, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Key != "" {
		errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
	} else if t.Operator != corev1.TolerationOpExists {
		errs = append(errs, field.Invalid(at.Child("operator"), t.Operator,
			"operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
	}
	switch t.Operator {
	case corev1.TolerationOpEqual, "":
		errs = append(errs, invalids(at.Child("operator"), t.Value, validation.IsValidLabelValue(t.Value))...)
	case corev1.TolerationOpExists:
		if t.Value != "" {
			errs = append(errs, field.Invalid(at.Child("operator"), t, "value must be empty when `operator` is 'Exists'"))
		}
	default:
		errs = append(errs, field.NotSupported(at.Child("operator"), t.Operator,
			[]corev1.TolerationOperator{corev1.TolerationOpEqual, corev1.TolerationOpExists}))
	}
	if t.Effect != "" {
		errs = append(errs, oneOf(t.Effect, at.Child("effect"),
			corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)...)
	}
	if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
		errs = append(errs, field.Invalid(at.Child("effect"), t.Effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
	}
	return errs
}

// oneOf wants one of the values that are supported.
func oneOf[T ~string](v T, at *field.Path, supported ...T) field.ErrorList {
	switch {
	case v == "":
		return field.ErrorList{field.Required(at, "")}
	case !slices.Contains(supported, v):
		return field.ErrorList{field.NotSupported(at, v, supported)}
	}
	return nil
}

func invalids(at *field.Path, value any, messages []string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range messages {
		errs = append(errs, field.Invalid(at, value, msg))
	}
	return errs
}
