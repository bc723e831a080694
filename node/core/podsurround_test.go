package core

import (
	"reflect"
	"testing"

	"holon/runtime"
)

// TestSurroundings of a pod reach its order; a resolver only with the policy for it.
func TestSurroundings(t *testing.T) {
	for policy, want := range map[string]*runtime.DNS{
		"None":    {Servers: []string{"192.0.2.1"}, Searches: []string{"a.example"}, Options: []string{"ndots:3", "rotate"}},
		"Default": nil,
	} {
		_, o := orderOf(t, object{
			"containers": []any{object{"name": "app", "image": "app"}}, "shareProcessNamespace": true, "dnsPolicy": policy,
			"hostAliases": []any{object{"ip": "192.0.2.9", "hostnames": []any{"x", "y"}}},
			"dnsConfig": object{"nameservers": []any{"192.0.2.1"}, "searches": []any{"a.example"},
				"options": []any{object{"name": "ndots", "value": "3"}, object{"name": "rotate"}}},
			"volumes": []any{
				object{"name": "h", "hostPath": object{"path": "/var/log", "type": "Directory"}},
				object{"name": "m", "emptyDir": object{"medium": "Memory", "sizeLimit": "1Mi"}},
				object{"name": "d", "emptyDir": object{"sizeLimit": "1Mi"}},
			},
		}, nil)
		if o.Spec == nil {
			t.Fatal("nothing is ordered")
		}
		if hosts := []runtime.Host{{IP: "192.0.2.9", Names: []string{"x", "y"}}}; !o.Spec.ShareIDs || !reflect.DeepEqual(o.Spec.Hosts, hosts) || !reflect.DeepEqual(o.Spec.DNS, want) {
			t.Errorf("%s: %+v, %+v", policy, o.Spec, o.Spec.DNS)
		}
		volumes := []runtime.Volume{
			{Name: "h", HostPath: &runtime.HostPath{Path: "/var/log", Type: "Directory"}}, {Name: "m", Memory: true, Limit: 1 << 20}, {Name: "d"},
		}
		if !reflect.DeepEqual(o.Spec.Volumes, volumes) {
			t.Errorf("volumes are %+v", o.Spec.Volumes)
		}
	}
}
