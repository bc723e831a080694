package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"
)

// addOutputFlag adds -o with a check of its values; "jsonpath" allows
// jsonpath=TEMPLATE and jsonpath-file=FILE.
func addOutputFlag(c *cobra.Command, output *string, formats ...string) {
	c.Flags().StringVarP(output, "output", "o", "", "output format: "+strings.Join(formats, ", "))
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	previous := c.PreRunE
	c.PreRunE = func(cmd *cobra.Command, args []string) error {
		kind, _, _ := strings.Cut(*output, "=")
		if kind == "jsonpath-file" {
			kind = "jsonpath"
		}
		if *output != "" && !slices.Contains(formats, kind) {
			return usagef("unknown output format %q (known: %s)", *output, strings.Join(formats, ", "))
		}
		if kind == "jsonpath" && !strings.Contains(*output, "=") {
			return usagef("-o jsonpath needs a template, such as -o jsonpath='{.metadata.name}'")
		}
		if previous != nil {
			return previous(cmd, args)
		}
		return nil
	}
}

// printStructured prints any value as JSON (indented by 4, as kubectl does),
// YAML or through a JSONPath template.
func printStructured(w io.Writer, output string, value any) error {
	kind, template, _ := strings.Cut(output, "=")
	switch kind {
	case "json":
		data, err := marshalIndent(value)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	case "yaml":
		data, err := yaml.Marshal(value)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	case "jsonpath":
		return printJSONPath(w, template, value)
	case "jsonpath-file":
		data, err := os.ReadFile(template)
		if err != nil {
			return err
		}
		return printJSONPath(w, string(data), value)
	}
	return usagef("unknown output format %q", output)
}

func marshalIndent(value any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", "    ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(value)
	return buf.Bytes(), err
}

func printJSONPath(w io.Writer, template string, value any) error {
	if !strings.Contains(template, "{") {
		template = "{" + template + "}" // kubectl takes .metadata.name, too
	}
	p := jsonpath.New("output").AllowMissingKeys(true)
	if err := p.Parse(template); err != nil {
		return usagef("bad JSONPath %q: %v", template, err)
	}
	plain, err := toPlain(value)
	if err != nil {
		return err
	}
	return p.Execute(w, plain)
}

// toPlain turns a value into maps, lists and scalars.
func toPlain(value any) (any, error) {
	if u, ok := value.(*unstructured.Unstructured); ok {
		return u.Object, nil
	}
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var plain any
	err = json.Unmarshal(data, &plain)
	return plain, err
}

// printObjects prints one object as itself and several as a v1 List.
func printObjects(w io.Writer, output string, objects []*unstructured.Unstructured, single bool) error {
	if single && len(objects) == 1 {
		return printStructured(w, output, objects[0].Object)
	}
	items := make([]any, len(objects))
	for i, o := range objects {
		items[i] = o.Object
	}
	return printStructured(w, output, map[string]any{
		"apiVersion": "v1", "kind": "List", "items": items,
		"metadata": map[string]any{"resourceVersion": ""},
	})
}

// report prints what happened to one object: "deployment.apps/web created", or
// the object itself with -o.
func (a *app) report(output string, r resource, o *unstructured.Unstructured, verb string) error {
	switch output {
	case "":
		_, err := fmt.Fprintf(a.out, "%s %s\n", r.name(o.GetName()), verb)
		return err
	case "name":
		_, err := fmt.Fprintln(a.out, r.name(o.GetName()))
		return err
	}
	return printStructured(a.out, output, o.Object)
}
