package valid

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestServiceRules(t *testing.T) {
	const meta = "metadata: {name: s, namespace: default}\nspec: "
	for text, want := range map[string][]string{
		meta + "{ports: [{port: 80}], selector: {app: a}}":                          nil,
		meta + "{ports: [{name: a, port: 53, protocol: UDP}, {name: b, port: 53}]}": nil,
		meta + "{clusterIP: None}":                                                  nil,
		meta + "{type: ExternalName, externalName: example.com}":                    nil,
		meta + "{ports: [{port: 80, targetPort: http}]}":                            nil,
		meta + "{}": {"spec.ports: Required value"},
		meta + "{type: Other, ports: [{port: 80}]}":                                           {`spec.type: Unsupported value: "Other"`},
		meta + "{type: ExternalName, externalName: a_b}":                                      {`spec.externalName: Invalid value: "a_b"`},
		meta + "{ports: [{port: 65536, targetPort: 1}]}":                                      {"spec.ports[0].port: Invalid value: 65536"},
		meta + "{ports: [{port: 1, targetPort: 65536}]}":                                      {"spec.ports[0].targetPort: Invalid value: 65536"},
		meta + "{ports: [{port: 1, protocol: ICMP}]}":                                         {`spec.ports[0].protocol: Unsupported value: "ICMP"`},
		meta + "{ports: [{port: 1}, {name: a, port: 2}]}":                                     {"spec.ports[0].name: Required value"},
		meta + "{ports: [{name: a, port: 1}, {name: a, port: 2}]}":                            {`spec.ports[1].name: Duplicate value: "a"`},
		meta + "{ports: [{name: a, port: 1}, {name: b, port: 1}]}":                            {`spec.ports[1]: Duplicate value: "1/TCP"`},
		meta + "{ports: [{port: 1}], selector: {a b: c}}":                                     {"spec.selector: Invalid value"},
		"metadata: {name: 1s, namespace: default}\nspec: {ports: [{port: 1, targetPort: 1}]}": {"metadata.name: Invalid value"},
	} {
		s := parse[corev1.Service](t, text)
		DefaultService(s)
		wantErrors(t, text, Service(s), want...)
	}
}
