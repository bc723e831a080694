package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseTargets(t *testing.T) {
	for args, want := range map[string]string{
		"pods":              "pods:",
		"po,deploy":         "po: deploy:",
		"all":               "pods: deployments: replicasets: statefulsets: daemonsets:",
		"pod web db":        "pod:web,db",
		"deploy/web":        "deploy:web",
		"deploy/web pod/db": "deploy:web pod:db",
		"pod/a pod/b":       "pod:a,b",
		"deployment.apps/w": "deployment.apps:w",
		"":                  "error",
		"pod deploy/web":    "error",
		"po,deploy web":     "error",
		"deploy/web pod":    "error",
		"deploy/":           "error",
		"/web":              "error",
		"po,":               "error",
	} {
		got := "error"
		if words, err := parseTargets(strings.Fields(args)); err == nil {
			var all []string
			for _, w := range words {
				all = append(all, fmt.Sprintf("%s:%s", w.kind, strings.Join(w.names, ",")))
			}
			got = strings.Join(all, " ")
		} else if !errors.As(err, new(usageError)) {
			t.Errorf("%q: %v is not a usage error", args, err)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", args, got, want)
		}
	}
}

func TestKindsByEveryName(t *testing.T) {
	for word, want := range map[string]string{
		"po": "pods", "pod": "pods", "Pod": "pods", "PODS": "pods", "pods.v1": "pods",
		"deploy": "deployments.apps", "deployment.apps": "deployments.apps", "deployments.v1.apps": "deployments.apps",
		"rs": "replicasets.apps", "cm": "configmaps", "ns": "namespaces", "no": "nodes", "ev": "events",
		"deploy.batch": "", "pd": "",
	} {
		r, ok := builtinResource(word)
		if got := r.groupResource(); ok != (want != "") || ok && got != want {
			t.Errorf("%q is %q, want %q", word, got, want)
		}
	}
}

func TestPaths(t *testing.T) {
	for _, tc := range []struct{ kind, namespace, name, want string }{
		{"pods", "default", "web", "/api/v1/namespaces/default/pods/web"},
		{"deploy", "default", "", "/apis/apps/v1/namespaces/default/deployments"},
		{"deploy", "", "", "/apis/apps/v1/deployments"},
		{"nodes", "default", "n1", "/api/v1/nodes/n1"},
	} {
		if got := mustBuiltin(tc.kind).path(tc.namespace, tc.name); got != tc.want {
			t.Errorf("%v: %s", tc, got)
		}
	}
}

func TestSplitChanges(t *testing.T) {
	names, set, remove, err := splitChanges(strings.Fields("node n1 disk=ssd zone= old-"))
	if err != nil || fmt.Sprint(names, set, remove) != "[node n1] map[disk:ssd zone:] [old]" {
		t.Errorf("%v %v %v %v", names, set, remove, err)
	}
	for _, bad := range []string{"node n1", "node n1 =x", "node a=1 n1", "node n1 a=1 a-"} {
		if _, _, _, err := splitChanges(strings.Fields(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestTablesAreAlignedAsKubectls(t *testing.T) {
	var out bytes.Buffer
	table := &aligner{w: &out}
	table.write([]string{"NAME", "READY", "AGE"}, []string{"web-6d4cf56db6-x7k2p", "1/1", "3s"})
	table.write([]string{"db", "0/1", ""}) // a row of a watch, later
	want := "" +
		"NAME                   READY   AGE\n" +
		"web-6d4cf56db6-x7k2p   1/1     3s\n" +
		"db                     0/1\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestSuggestions(t *testing.T) {
	known := []string{"get", "delete", "describe", "--namespace", "--selector"}
	for word, want := range map[string]string{
		"gte": `, did you mean "get"?`, "descr": `, did you mean "describe"?`, "--namespce": `, did you mean "--namespace"?`,
		"frobnicate": "", "x": "",
	} {
		if got := didYouMean(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
