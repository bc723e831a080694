package api

const (
	noProfiles     = "not applied: the container has the profile that its runtime gives to all"
	noSeccompFiles = "seccomp profiles of a node's own files are not served; use RuntimeDefault or Unconfined"
	noHostAccess   = "a pod has namespaces of its own here; remove the field"
	noVolumeKind   = "this kind of volume is not served yet; configMap, secret, downwardAPI, projected, emptyDir, hostPath and persistentVolumeClaim are"
	noEphemeral    = "no claim is made for a single pod: use emptyDir for what goes with the pod, and a PersistentVolumeClaim for what stays"
	notYetDNS      = "not applied yet: the pod uses the resolver of its node"
	noDevices      = "devices cannot be requested yet; holon places pods by cpu and memory"
)

// podSpecRules classify corev1.PodSpec but for its containers.
var podSpecRules = fieldRules{
	honoured: []string{
		"containers", "initContainers", "volumes", "restartPolicy", "terminationGracePeriodSeconds", "nodeSelector", "nodeName", "hostname",
		"affinity", "priorityClassName", "serviceAccountName", "serviceAccount", "automountServiceAccountToken", // see adviseTokens
		"securityContext", "securityContext.fsGroup", "securityContext.fsGroupChangePolicy", "securityContext.runAsGroup",
		"securityContext.runAsNonRoot", "securityContext.runAsUser", "securityContext.supplementalGroups",
		"securityContext.seccompProfile", "securityContext.seccompProfile.type",
		"tolerations", "tolerations[].key", "tolerations[].operator", "tolerations[].value", "tolerations[].effect",
		"tolerations[].tolerationSeconds",
		"topologySpreadConstraints", "topologySpreadConstraints[].maxSkew", "topologySpreadConstraints[].topologyKey",
		"topologySpreadConstraints[].whenUnsatisfiable", "topologySpreadConstraints[].minDomains",
		"topologySpreadConstraints[].labelSelector",
		"topologySpreadConstraints[].nodeAffinityPolicy", "topologySpreadConstraints[].nodeTaintsPolicy",
		"volumes[].name",
		"volumes[].emptyDir", "volumes[].emptyDir.medium", "volumes[].emptyDir.sizeLimit",
		"volumes[].hostPath", "volumes[].hostPath.path", "volumes[].hostPath.type",
		"imagePullSecrets", "imagePullSecrets[].name",
		"hostAliases", "hostAliases[].ip", "hostAliases[].hostnames", "shareProcessNamespace",
		"dnsPolicy", "dnsConfig", "dnsConfig.nameservers", "dnsConfig.searches",
		"dnsConfig.options", "dnsConfig.options[].name", "dnsConfig.options[].value",
		"volumes[].configMap", "volumes[].configMap.name", "volumes[].configMap.optional", "volumes[].configMap.defaultMode",
		"volumes[].configMap.items", "volumes[].configMap.items[].key", "volumes[].configMap.items[].path",
		"volumes[].configMap.items[].mode",
		"volumes[].persistentVolumeClaim", "volumes[].persistentVolumeClaim.claimName", "volumes[].persistentVolumeClaim.readOnly",
		"volumes[].secret", "volumes[].secret.secretName", "volumes[].secret.optional", "volumes[].secret.defaultMode",
		"volumes[].secret.items", "volumes[].secret.items[].key", "volumes[].secret.items[].path",
		"volumes[].secret.items[].mode",
		"volumes[].downwardAPI", "volumes[].downwardAPI.defaultMode", "volumes[].downwardAPI.items",
		"volumes[].projected", "volumes[].projected.defaultMode", "volumes[].projected.sources",
		"volumes[].projected.sources[].configMap", "volumes[].projected.sources[].configMap.name",
		"volumes[].projected.sources[].configMap.optional", "volumes[].projected.sources[].configMap.items",
		"volumes[].projected.sources[].configMap.items[].key", "volumes[].projected.sources[].configMap.items[].path",
		"volumes[].projected.sources[].configMap.items[].mode",
		"volumes[].projected.sources[].secret", "volumes[].projected.sources[].secret.name",
		"volumes[].projected.sources[].secret.optional", "volumes[].projected.sources[].secret.items",
		"volumes[].projected.sources[].secret.items[].key", "volumes[].projected.sources[].secret.items[].path",
		"volumes[].projected.sources[].secret.items[].mode",
		"volumes[].projected.sources[].downwardAPI", "volumes[].projected.sources[].downwardAPI.items",
		"volumes[].projected.sources[].serviceAccountToken", "volumes[].projected.sources[].serviceAccountToken.path",
		"volumes[].projected.sources[].serviceAccountToken.audience", "volumes[].projected.sources[].serviceAccountToken.expirationSeconds",
	},
	filled: []string{"priority"},
	warned: map[string]string{
		"activeDeadlineSeconds": "not honoured yet: the pod runs on",
		"enableServiceLinks":    "no service variables are set: holon has no Services yet",
		"hostUsers":             "user namespaces are as the container runtime sets them up",
		"overhead":              "not counted yet when pods are placed",
		"preemptionPolicy":      noPreemption,
		"readinessGates":        "not waited for yet: the pod is ready when its containers are",
		"setHostnameAsFQDN":     notYetDNS,
		"subdomain":             notYetDNS,
		"topologySpreadConstraints[].matchLabelKeys": "not honoured yet: the whole constraint has no effect",

		"securityContext.appArmorProfile":          noProfiles,
		"securityContext.seLinuxChangePolicy":      noProfiles,
		"securityContext.seLinuxOptions":           noProfiles,
		"securityContext.supplementalGroupsPolicy": "groups of the image are kept",
	},
	refused: map[string]string{
		"ephemeralContainers": "a pod has the containers that it was made with; use kubectl exec, or kubectl debug --copy-to",
		"hostIPC":             noHostAccess,
		"hostNetwork":         noHostAccess + ", and publish ports with hostPort",
		"hostPID":             noHostAccess,
		"hostnameOverride":    "not honoured yet; use hostname",
		"os":                  "holon runs Linux containers",
		"resourceClaims":      noDevices,
		"resources":           "resources of the whole pod are not honoured yet; set them on its containers",
		"runtimeClassName":    "runtime classes are not served, and the pod would run with less isolation than asked",
		"schedulerName":       "holon's own scheduler places every pod",
		"schedulingGates":     "not honoured, and the pod would start before its gates open",
		"workloadRef":         "gang scheduling is not served",

		"securityContext.seccompProfile.localhostProfile":  noSeccompFiles,
		"securityContext.sysctls":                          noHostAccess,
		"volumes[].projected.sources[].clusterTrustBundle": noVolumeKind,
		"volumes[].projected.sources[].podCertificate":     noVolumeKind,
		"securityContext.windowsOptions":                   "holon runs Linux containers",

		"volumes[].awsElasticBlockStore": noVolumeKind, "volumes[].azureDisk": noVolumeKind, "volumes[].azureFile": noVolumeKind,
		"volumes[].cephfs": noVolumeKind, "volumes[].cinder": noVolumeKind, "volumes[].csi": noVolumeKind,
		"volumes[].ephemeral": noEphemeral, "volumes[].fc": noVolumeKind,
		"volumes[].flexVolume": noVolumeKind, "volumes[].flocker": noVolumeKind, "volumes[].gcePersistentDisk": noVolumeKind,
		"volumes[].gitRepo": noVolumeKind, "volumes[].glusterfs": noVolumeKind,
		"volumes[].image": noVolumeKind, "volumes[].iscsi": noVolumeKind, "volumes[].nfs": noVolumeKind,
		"volumes[].photonPersistentDisk": noVolumeKind,
		"volumes[].portworxVolume":       noVolumeKind, "volumes[].quobyte": noVolumeKind,
		"volumes[].rbd": noVolumeKind, "volumes[].scaleIO": noVolumeKind,
		"volumes[].storageos": noVolumeKind, "volumes[].vsphereVolume": noVolumeKind,
	},
	harmless: map[string][]any{
		"enableServiceLinks": {true},
		"hostUsers":          {true},
		"os":                 {map[string]any{"name": "linux"}},
		"preemptionPolicy":   {"Never"},
		"schedulerName":      {"default-scheduler"},
		"securityContext.supplementalGroupsPolicy": {"Merge"},
	},
}

// containerRules classify corev1.Container.
var containerRules = fieldRules{
	honoured: []string{
		"name", "image", "imagePullPolicy", "command", "args", "workingDir",
		"ports", "ports[].name", "ports[].containerPort", "ports[].hostPort", "ports[].hostIP", "ports[].protocol",
		"env", "env[].name", "env[].value", "env[].valueFrom",
		"env[].valueFrom.fieldRef", "env[].valueFrom.fieldRef.apiVersion", "env[].valueFrom.fieldRef.fieldPath",
		"env[].valueFrom.resourceFieldRef", "env[].valueFrom.resourceFieldRef.containerName",
		"env[].valueFrom.resourceFieldRef.resource", "env[].valueFrom.resourceFieldRef.divisor",
		"env[].valueFrom.configMapKeyRef", "env[].valueFrom.configMapKeyRef.name",
		"env[].valueFrom.configMapKeyRef.key", "env[].valueFrom.configMapKeyRef.optional",
		"env[].valueFrom.secretKeyRef", "env[].valueFrom.secretKeyRef.name",
		"env[].valueFrom.secretKeyRef.key", "env[].valueFrom.secretKeyRef.optional",
		"envFrom[].secretRef", "envFrom[].secretRef.name", "envFrom[].secretRef.optional",
		"envFrom", "envFrom[].prefix", "envFrom[].configMapRef", "envFrom[].configMapRef.name", "envFrom[].configMapRef.optional",
		"resources", "resources.requests", "resources.requests.cpu", "resources.requests.memory",
		"resources.limits", "resources.limits.cpu", "resources.limits.memory",
		"volumeMounts", "volumeMounts[].name", "volumeMounts[].mountPath", "volumeMounts[].subPath", "volumeMounts[].readOnly",
		"securityContext", "securityContext.allowPrivilegeEscalation", "securityContext.capabilities",
		"securityContext.capabilities.add", "securityContext.capabilities.drop", "securityContext.privileged",
		"securityContext.readOnlyRootFilesystem", "securityContext.runAsGroup", "securityContext.runAsNonRoot",
		"securityContext.runAsUser", "securityContext.seccompProfile", "securityContext.seccompProfile.type",
		"stdin", "stdinOnce", "tty", "terminationMessagePath", "terminationMessagePolicy",
	},
	warned: map[string]string{
		"resizePolicy":                     "a change of resources restarts the container",
		"volumeMounts[].mountPropagation":  "mounts do not propagate",
		"volumeMounts[].recursiveReadOnly": "only the mount itself is read-only",

		"resources.limits.ephemeral-storage":   "only what is in emptyDir volumes on disk counts",
		"resources.requests.ephemeral-storage": "not counted yet when pods are placed",

		"securityContext.appArmorProfile": noProfiles,
		"securityContext.procMount":       "/proc is masked as usual",
		"securityContext.seLinuxOptions":  noProfiles,
	},
	refused: map[string]string{
		"env[].valueFrom.fileKeyRef": "variables from files are not served",
		"resources.claims":           noDevices,
		"resources.limits.*":         noDevices,
		"resources.requests.*":       noDevices,
		"restartPolicy":              "only an init container may have one, which Always makes a sidecar; set it on the pod",
		"restartPolicyRules":         "a restart policy of one container is not honoured yet; set it on the pod",
		"volumeDevices":              noVolumeKind,
		"volumeMounts[].subPathExpr": "not expanded yet; use subPath",

		"securityContext.seccompProfile.localhostProfile": noSeccompFiles,
		"securityContext.windowsOptions":                  "holon runs Linux containers",
	},
	harmless: map[string][]any{
		"volumeMounts[].mountPropagation":  {"None"},
		"volumeMounts[].recursiveReadOnly": {"Disabled"},
		"securityContext.procMount":        {"Default"},
	},
}

// probeRules classify corev1.Probe.
var probeRules = fieldRules{
	honoured: []string{
		"httpGet", "httpGet.path", "httpGet.port", "httpGet.host", "httpGet.scheme",
		"httpGet.httpHeaders", "httpGet.httpHeaders[].name", "httpGet.httpHeaders[].value",
		"tcpSocket", "tcpSocket.port", "tcpSocket.host", "exec", "exec.command", "grpc", "grpc.port", "grpc.service",
		"initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold",
		"terminationGracePeriodSeconds",
	},
}

// hookRules classify corev1.LifecycleHandler.
var hookRules = fieldRules{
	honoured: []string{
		"exec", "exec.command", "sleep", "sleep.seconds",
		"httpGet", "httpGet.path", "httpGet.port", "httpGet.host", "httpGet.scheme",
		"httpGet.httpHeaders", "httpGet.httpHeaders[].name", "httpGet.httpHeaders[].value",
	},
	refused: map[string]string{"tcpSocket": "Kubernetes keeps it and then fails every such hook; use exec or httpGet"},
}

// containerTable is a container at a path, with its probes and hooks.
func containerTable(at string) fieldTable {
	all := merged(containerRules.at(at), fieldRules{
		honoured: []string{"lifecycle"},
		warned:   map[string]string{"lifecycle.stopSignal": "not sent yet: a container ends by SIGTERM"},
		harmless: map[string][]any{"lifecycle.stopSignal": {"SIGTERM"}},
	}.at(at))
	for _, probe := range []string{".livenessProbe", ".readinessProbe", ".startupProbe"} {
		all = merged(all, fieldTable{at + probe: {handling: honoured}}, probeRules.at(at+probe))
	}
	for _, hook := range []string{".lifecycle.postStart", ".lifecycle.preStop"} {
		all = merged(all, fieldTable{at + hook: {handling: honoured}}, hookRules.at(at+hook))
	}
	return all
}

// downwardRules classify a file of the downward API.
var downwardRules = fieldRules{honoured: []string{
	"path", "mode", "fieldRef", "fieldRef.apiVersion", "fieldRef.fieldPath",
	"resourceFieldRef", "resourceFieldRef.containerName", "resourceFieldRef.resource", "resourceFieldRef.divisor",
}}

// podSpecTable is a pod's spec at a path. An init container may say that it is a sidecar.
func podSpecTable(at string) fieldTable {
	inits := containerTable(at + ".initContainers[]")
	inits[at+".initContainers[].restartPolicy"] = fieldRule{handling: honoured}
	return merged(podSpecRules.at(at), downwardRules.at(at+".volumes[].downwardAPI.items[]"),
		downwardRules.at(at+".volumes[].projected.sources[].downwardAPI.items[]"), affinityTable(at+".affinity"),
		fieldRules{honoured: selectorFields("labelSelector")}.at(at+".topologySpreadConstraints[]"), containerTable(at+".containers[]"), inits)
}
