package api

import (
	"fmt"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const slicesDerived = "holon derives EndpointSlices from Services and their pods; change those"

var endpointSliceKind = &kind{
	GroupVersionKind: discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), plural: "endpointslices", singular: "endpointslice",
	namespaced: true, verbs: readVerbs,
	refuses: map[string]string{"create": slicesDerived, "update": slicesDerived, "patch": slicesDerived, "delete": slicesDerived},
	make:    func() runtime.Object { return &discoveryv1.EndpointSlice{} },
	columns: []metav1.TableColumnDefinition{
		nameColumn, column("AddressType"), column("Ports"), column("Endpoints"), column("Age"),
	},
	row: row(endpointSliceRow),
}

// shownInRow is how many ports and addresses a row of kubectl's table shows.
const shownInRow = 3

func endpointSliceRow(s *discoveryv1.EndpointSlice) []any {
	var ports, addresses []string
	for _, p := range s.Ports {
		if p.Port != nil {
			ports = append(ports, fmt.Sprint(*p.Port))
		}
	}
	for _, e := range s.Endpoints {
		addresses = append(addresses, e.Addresses...)
	}
	return []any{s.Name, string(s.AddressType), inRow(ports), inRow(addresses), age(s.CreationTimestamp)}
}

func inRow(list []string) string {
	if len(list) > shownInRow {
		return fmt.Sprintf("%s + %d more...", strings.Join(list[:shownInRow], ","), len(list)-shownInRow)
	}
	return or(strings.Join(list, ","), "<unset>")
}
