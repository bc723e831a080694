package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

func describeConfigMap(_ context.Context, _ *client, d *description, o objectView) error {
	var cm corev1.ConfigMap
	if err := o.into(&cm); err != nil {
		return err
	}
	d.head(o)
	d.line(0, "")
	d.line(0, "Data")
	d.line(0, "====")
	for _, key := range sortedKeys(cm.Data) {
		d.line(0, "%s:", key)
		d.line(0, "----")
		d.line(0, "%s", cm.Data[key])
		d.line(0, "")
	}
	if len(cm.BinaryData) > 0 {
		d.line(0, "BinaryData")
		d.line(0, "====")
		for _, key := range sortedKeys(cm.BinaryData) {
			d.line(0, "%s: %d bytes", key, len(cm.BinaryData[key]))
		}
		d.line(0, "")
	}
	return nil
}

// describeSecret shows how long values are, never the values.
func describeSecret(_ context.Context, _ *client, d *description, o objectView) error {
	var s corev1.Secret
	if err := o.into(&s); err != nil {
		return err
	}
	d.head(o)
	d.line(0, "")
	d.line(0, "Type:\t%s", s.Type)
	d.line(0, "")
	d.line(0, "Data")
	d.line(0, "====")
	for _, key := range sortedKeys(s.Data) {
		d.line(0, "%s:\t%d bytes", key, len(s.Data[key]))
	}
	d.line(0, "")
	return nil
}

func describeNamespace(_ context.Context, _ *client, d *description, o objectView) error {
	var ns corev1.Namespace
	if err := o.into(&ns); err != nil {
		return err
	}
	d.head(o)
	d.line(0, "Status:\t%s", orElse(string(ns.Status.Phase), "Active"))
	return nil
}
