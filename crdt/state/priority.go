package state

import (
	"fmt"

	schedulingv1 "k8s.io/api/scheduling/v1"

	"holon/crdt"
)

// PriorityClass names a priority: the greater, the more urgent.
type PriorityClass struct {
	Name    string
	Value   int32
	Default bool // of pods that name no class
}

// Kubernetes' own classes are always there.
var systemClasses = map[string]int32{"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}

// SystemPriority is the priority of one of Kubernetes' own classes.
func SystemPriority(class string) (value int32, ok bool) {
	value, ok = systemClasses[class]
	return value, ok
}

// DecodePriorityClass reads a class from its record; ok is false if it is gone.
func DecodePriorityClass(key Key, rec *crdt.Record) (c PriorityClass, ok bool, err error) {
	obj, ok, err := DecodeObject(rec)
	if err != nil || !ok {
		return c, false, err
	}
	var typed schedulingv1.PriorityClass
	if err := Convert(obj.Value, &typed); err != nil {
		return c, false, fmt.Errorf("%s: %w", key, err)
	}
	_, _, name := key.Split()
	return PriorityClass{Name: name, Value: typed.Value, Default: typed.GlobalDefault}, true, nil
}
