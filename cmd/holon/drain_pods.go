package main

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var podsPath = mustBuiltin("pods").path("", "")

// drainPod is what drain looks at of a pod.
type drainPod struct {
	namespace, name, slot, node string
	ready                       bool
	done                        bool // its work is over, or it comes with the node
	lost                        bool // its node is out of reach
}

func drainPodOf(o *unstructured.Unstructured) drainPod {
	v := objectView{o}
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(o.Object, path...)
		return s
	}
	ready, _ := v.condition("Ready")
	phase := text("status", "phase")
	return drainPod{
		namespace: o.GetNamespace(), name: o.GetName(), slot: o.GetAnnotations()["holon.dev/slot"], node: text("spec", "nodeName"),
		ready: ready == "True", done: phase == "Succeeded" || phase == "Failed" || ofDaemonSet(o), lost: text("status", "reason") == "NodeUnreachable",
	}
}

func ofDaemonSet(o *unstructured.Unstructured) bool {
	owner := metav1.GetControllerOf(o)
	return owner != nil && owner.Kind == "DaemonSet"
}

// successor is a pod of the same slot on another node, one that is ready if there is
// one.
func successor(pods map[string]drainPod, of drainPod) (found drainPod, ok bool) {
	for _, key := range sortedKeys(pods) {
		if p := pods[key]; p.slot == of.slot && p.node != of.node && (!ok || p.ready && !found.ready) {
			found, ok = p, true
		}
	}
	return found, ok
}

// listPods gives all pods, and the version that they have.
func (c *client) listPods(ctx context.Context) (pods map[string]drainPod, version string, err error) {
	data, err := c.do(ctx, request{path: podsPath})
	if err != nil {
		return nil, "", err
	}
	if version, err = c.listVersion(data); err != nil {
		return nil, "", err
	}
	objects, err := c.decodeObjects(data)
	if err != nil {
		return nil, "", err
	}
	pods = map[string]drainPod{}
	for _, o := range objects {
		pods[o.GetNamespace()+"/"+o.GetName()] = drainPodOf(o)
	}
	return pods, version, nil
}

// followPods calls fn with all pods, as they are and after each change, until it is
// content.
func (c *client) followPods(ctx context.Context, fn func(map[string]drainPod) bool) error {
	for {
		pods, version, err := c.listPods(ctx)
		if err != nil {
			return err
		}
		content := fn(pods)
		if content {
			return nil
		}
		err = c.watch(ctx, podsPath, acceptJSON, version, nil, func(ev watchEvent) error {
			if ev.Type == "BOOKMARK" {
				return nil
			}
			objects, err := c.decodeObjects(ev.Object)
			if err != nil {
				return err
			}
			key := objects[0].GetNamespace() + "/" + objects[0].GetName()
			if delete(pods, key); ev.Type != "DELETED" {
				pods[key] = drainPodOf(objects[0])
			}
			if content = fn(pods); content {
				return errEndWatch
			}
			return nil
		})
		if content || err != nil && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			return err
		}
	}
}
