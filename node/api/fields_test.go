package api

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"holon/crdt/state/valid"
)

// leaves are types that are one value to clients.
var leaves = []string{"resource.Quantity", "intstr.IntOrString", "v1.Time", "v1.MicroTime", "v1.FieldsV1"}

// unclassified walks a Go type along a table and returns the fields that the
// table does not classify; seen collects the entries that it meets.
func unclassified(t reflect.Type, path string, table fieldTable, seen map[string]bool) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice {
			path += "[]"
		}
		t = t.Elem()
	}
	if t.Kind() == reflect.Map {
		if t.Elem().Kind() == reflect.Struct {
			return unclassifiedKeys(path, table, seen)
		}
		return nil
	}
	if t.Kind() != reflect.Struct || slices.Contains(leaves, t.String()) {
		return nil
	}
	var missing []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" { // inlined
			missing = append(missing, unclassified(f.Type, path, table, seen)...)
			continue
		}
		at := strings.TrimPrefix(path+"."+name, ".")
		rule, known := table[at]
		seen[at] = true
		switch {
		case !known:
			missing = append(missing, at)
		case rule.handling == honoured:
			missing = append(missing, unclassified(f.Type, at, table, seen)...)
		case rule.handling != filled && rule.why == "":
			missing = append(missing, at+" (without a reason)")
		}
	}
	return missing
}

// unclassifiedKeys wants a rule for the keys that no rule names.
func unclassifiedKeys(path string, table fieldTable, seen map[string]bool) []string {
	for p := range table {
		if strings.HasPrefix(p, path+".") {
			seen[p] = true
		}
	}
	if _, known := table[path+".*"]; !known {
		return []string{path + ".*"}
	}
	return nil
}

var fieldTables = map[string]struct {
	object any
	table  fieldTable
}{
	"Pod":        {corev1.Pod{}, podFields},
	"Deployment": {appsv1.Deployment{}, deploymentFields},
	"ConfigMap":  {corev1.ConfigMap{}, configMapFields},
	"Secret":     {corev1.Secret{}, secretFields},
	"Namespace":  {corev1.Namespace{}, namespaceFields},
	"Node":       {corev1.Node{}, nodeFields},
	"Service":    {corev1.Service{}, serviceFields},

	"ServiceAccount": {corev1.ServiceAccount{}, serviceAccountFields},
}

func TestEveryFieldIsClassified(t *testing.T) {
	for name, c := range fieldTables {
		seen := map[string]bool{}
		if missing := unclassified(reflect.TypeOf(c.object), "", c.table, seen); len(missing) > 0 {
			t.Errorf("%s: these fields would be dropped in silence: %s", name, strings.Join(missing, ", "))
		}
		for path := range c.table {
			if !seen[path] {
				t.Errorf("%s: the table names %s, which no type has", name, path)
			}
		}
	}
}

// A checker that misses nothing when a row is gone is no checker.
func TestTheWalkFindsEveryMissingRow(t *testing.T) {
	for name, c := range fieldTables {
		for path, rule := range c.table {
			parent := path[:max(strings.LastIndex(path, "."), 0)]
			if _, wild := c.table[parent+".*"]; wild && !strings.HasSuffix(path, ".*") {
				continue // covered by the rule for all keys
			}
			broken := merged(c.table)
			delete(broken, path)
			missing := unclassified(reflect.TypeOf(c.object), "", broken, map[string]bool{})
			if !slices.Contains(missing, path) {
				t.Errorf("%s without %s (%d): the walk finds %v", name, path, rule.handling, missing)
			}
		}
	}
}

// fill sets every field of a type to something that is not zero.
func fill(v reflect.Value, depth int) {
	if depth > 12 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	case reflect.Struct:
		if slices.Contains(leaves, v.Type().String()) {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		switch key := reflect.ValueOf("x").Convert(v.Type().Key()); v.Type().Elem() {
		case reflect.TypeFor[string]():
			v.SetMapIndex(key, reflect.ValueOf("x"))
		case reflect.TypeFor[resource.Quantity]():
			v.SetMapIndex(key, reflect.ValueOf(resource.MustParse("1")))
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(3)
	case reflect.Uint8:
		v.SetUint(3)
	}
}

// A pod with every field set hears about each field that has no effect.
func TestNothingIsDroppedInSilence(t *testing.T) {
	pod := &corev1.Pod{}
	fill(reflect.ValueOf(&pod.Spec).Elem(), 0)
	value, err := toMap(pod)
	check(t, err)
	warn := &warnings{header: map[string][]string{}}
	errs := podFields.review(value, warn)
	said := fmt.Sprint(errs, warn.said)
	for path, rule := range podFields {
		if rule.handling != warned && rule.handling != refused || strings.HasPrefix(path, "metadata") || strings.Contains(path, "resources.") {
			continue
		}
		if slices.Contains(rule.harmless, any(true)) {
			continue // true is what happens anyway
		}
		if shown := strings.ReplaceAll(path, "[]", "[0]"); !strings.Contains(said, shown+":") {
			t.Errorf("nothing is said about %s", shown)
		}
	}
}

func TestHarmlessValuesNeedNoWord(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "b:1"}}}}
	valid.DefaultPod(pod)
	value, err := toMap(pod)
	check(t, err)
	warn := &warnings{header: map[string][]string{}}
	if errs := podFields.review(value, warn); len(errs)+len(warn.said) > 0 {
		t.Errorf("defaults are objected to: %v %v", errs, warn.said)
	}
}

// A name under holon.dev/ that means nothing is said once, when it is written.
func TestUnknownAnnotationsAreWarnedAbout(t *testing.T) {
	s := &Server{}
	value := map[string]any{"metadata": map[string]any{"name": "a", "annotations": map[string]any{"holon.dev/standin": "allow"}}}
	for _, c := range []struct {
		old  map[string]any
		said int
	}{
		{nil, 1},
		{map[string]any{"metadata": map[string]any{"name": "a"}}, 1},
		{value, 0},
	} {
		warn := &warnings{header: map[string][]string{}}
		var old runtime.Object
		if c.old != nil {
			old = &corev1.ConfigMap{}
		}
		if _, err := s.prepare(kindOf("", "v1", "configmaps"), value, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default"}}, old, c.old, warn); err != nil {
			t.Fatal(err)
		}
		if len(warn.said) != c.said {
			t.Errorf("after %v: %q", c.old, warn.said)
		}
	}
}
