package core

import (
	"reflect"
	"testing"

	"holon/runtime"
)

// TestTheContainerHasTheLastWord on who it is; groups and volumes are the pod's.
func TestTheContainerHasTheLastWord(t *testing.T) {
	_, o := orderOf(t, object{
		"securityContext": object{
			"runAsUser": int64(1), "runAsGroup": int64(2), "runAsNonRoot": true, "supplementalGroups": []any{int64(3)}, "fsGroup": int64(4),
			"seccompProfile": object{"type": "Unconfined"},
		},
		"containers": []any{object{"name": "plain", "image": "app"}, object{"name": "own", "image": "app", "securityContext": object{
			"runAsUser": int64(5), "runAsNonRoot": false, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "privileged": false,
			"capabilities": object{"drop": []any{"ALL"}, "add": []any{"KILL"}}, "seccompProfile": object{"type": "RuntimeDefault"},
		}}},
		"volumes": []any{object{"name": "v", "configMap": object{"name": "c", "defaultMode": int64(0o400)}}},
	}, map[string]object{"c": {"a": "b"}})
	if o.Spec == nil {
		t.Fatal("nothing is ordered")
	}
	id := func(n int64) *int64 { return &n }
	for i, want := range []runtime.Security{
		{User: id(1), Group: id(2), NonRoot: true, Groups: []int64{3, 4}, Unconfined: true},
		{User: id(5), Group: id(2), Groups: []int64{3, 4}, NoNewPrivs: true, ReadOnlyRoot: true, Drop: []string{"ALL"}, Add: []string{"KILL"}},
	} {
		if got := o.Spec.Containers[i].Security; !reflect.DeepEqual(got, want) {
			t.Errorf("container %d is %+v, want %+v", i, got, want)
		}
	}
	if g := o.Spec.FSGroup; g == nil || *g != 4 || o.Spec.Volumes[0].Files[0].Mode != 0o440 {
		t.Errorf("the volumes are of group %v: %+v", g, o.Spec.Volumes)
	}
}
