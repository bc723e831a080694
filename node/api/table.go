package api

import (
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
)

// The columns are those of kubectl; wide ones have priority 1. Each kind's row
// function returns the cells in the order of its columns.

func column(name string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "string"}
}

func wide(name string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "string", Priority: 1}
}

var nameColumn = metav1.TableColumnDefinition{
	Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"],
}

// tableOf renders objects as rows. The columns are left out of all but the first
// table of a watch.
func tableOf(k *kind, objects []Object, meta metav1.ListMeta, include metav1.IncludeObjectPolicy, headers bool) (*metav1.Table, error) {
	table := &metav1.Table{
		TypeMeta: metav1.TypeMeta{Kind: "Table", APIVersion: metav1.SchemeGroupVersion.String()},
		ListMeta: meta,
		Rows:     make([]metav1.TableRow, 0, len(objects)),
	}
	if headers {
		table.ColumnDefinitions = k.columns
	}
	for _, o := range objects {
		o = o.decoded()
		obj := k.make()
		if err := intoGo(o.Value(), obj); err != nil {
			return nil, apierrors.NewInternalError(fmt.Errorf("%s %s/%s cannot be shown: %w", k.plural, o.Namespace, o.Name, err))
		}
		table.Rows = append(table.Rows, metav1.TableRow{Cells: k.row(obj), Object: rowObject(o, include)})
	}
	return table, nil
}

func rowObject(o Object, include metav1.IncludeObjectPolicy) runtime.RawExtension {
	switch include {
	case metav1.IncludeNone:
		return runtime.RawExtension{}
	case metav1.IncludeObject:
		return runtime.RawExtension{Object: &unstructured.Unstructured{Object: o.versioned()}}
	}
	return runtime.RawExtension{Object: &unstructured.Unstructured{Object: partial(o)}}
}

// age is how long ago t was by this node's wall clock, for display only.
func age(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t.Time))
}

func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}
