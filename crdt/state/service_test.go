package state

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	"pgregory.net/rapid"

	"holon/crdt"
)

func serviceOf(t testing.TB, spec string) *Service {
	t.Helper()
	s, err := DecodeService(MakeKey(Services, "default", "web"), (&writer{replica: crdt.ReplicaID{1}}).stored(t, crdt.UID{7}, `{"spec":`+spec+`}`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every endpoint is in one EndpointSlice, with its own address and ports.
func TestEndpointSlicesHoldEveryEndpointOnce(t *testing.T) {
	s := serviceOf(t, `{"selector":{"app":"web"},"ports":[{"name":"http","port":80},{"name":"other","port":81,"protocol":"UDP"}]}`)
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]string{}
		var endpoints []Endpoint
		ports, families := rapid.IntRange(1, 5).Draw(t, "ports"), rapid.IntRange(1, 5).Draw(t, "families")
		for i := range rapid.SampledFrom([]int{0, 1, 3, 999, 1000, 1001, 2500}).Draw(t, "n") {
			e := Endpoint{Pod: fmt.Sprint("p", i), UID: fmt.Sprint("u", i), Node: "n1", Ready: i%2 == 0, Ending: i%5 == 0,
				Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Ports: []int32{int32(8080 + i%ports), 0}}
			if i%families == 1 {
				e.Address = netip.AddrFrom16([16]byte{0xfd, 14: byte(i >> 8), 15: byte(i)})
			}
			endpoints = append(endpoints, e)
			want[e.Pod] = fmt.Sprintln(e.Address, e.Ports[0], e.Ready)
		}
		have := map[string]string{}
		for key, value := range s.EndpointSlices(rapid.Permutation(endpoints).Draw(t, "order")) {
			var slice discoveryv1.EndpointSlice
			if err := Convert(value, &slice); err != nil {
				t.Fatal(err)
			}
			if len(slice.Endpoints) > sliceMax || len(slice.Ports) != 1 || *slice.Ports[0].Name != "http" || key != MakeKey(EndpointSlices, "default", slice.Name) {
				t.Fatalf("%s: %d endpoints, ports %v", key, len(slice.Endpoints), slice.Ports)
			}
			for _, e := range slice.Endpoints {
				if family := map[bool]discoveryv1.AddressType{true: discoveryv1.AddressTypeIPv4, false: discoveryv1.AddressTypeIPv6}; netip.MustParseAddr(e.Addresses[0]).Is4() != (slice.AddressType == family[true]) {
					t.Fatalf("%s among %s", e.Addresses[0], slice.AddressType)
				}
				if have[e.TargetRef.Name] != "" {
					t.Fatalf("%s is there twice", e.TargetRef.Name)
				}
				have[e.TargetRef.Name] = fmt.Sprintln(e.Addresses[0], *slice.Ports[0].Port, *e.Conditions.Ready)
			}
		}
		if !maps.Equal(have, want) {
			t.Fatalf("have %v, want %v", have, want)
		}
	})
}

func TestEndpointOfAPod(t *testing.T) {
	w := webWorkload(t)
	pod := func(change func(*PodFace)) *PodFace {
		p := &PodFace{Workload: w, Name: "web-1", UID: "u", Node: "n1", Revision: "r", Template: w.Template,
			Status: &RunStatus{Phase: Running, Ready: true, IP: "10.0.0.7"}}
		change(p)
		return p
	}
	const app = `"selector":{"app":"web"}`
	for name, c := range map[string]struct {
		spec string
		pod  *PodFace
		want string // address, readiness, ending, ports
	}{
		"ready":             {`{` + app + `,"ports":[{"port":80}]}`, pod(func(*PodFace) {}), "10.0.0.7 true false [80]"},
		"other port":        {`{` + app + `,"ports":[{"port":80,"targetPort":8080}]}`, pod(func(*PodFace) {}), "10.0.0.7 true false [8080]"},
		"unknown port name": {`{` + app + `,"ports":[{"port":80,"targetPort":"http"}]}`, pod(func(*PodFace) {}), "10.0.0.7 true false [0]"},
		"by template hash":  {`{"selector":{"pod-template-hash":"r"}}`, pod(func(*PodFace) {}), "10.0.0.7 true false []"},
		"label of the pod":  {`{"selector":{"tier":"x"}}`, pod(func(p *PodFace) { p.Labels = map[string]string{"tier": "x"} }), "10.0.0.7 true false []"},
		"not ready":         {`{` + app + `}`, pod(func(p *PodFace) { p.Status.Ready = false }), "10.0.0.7 false false []"},
		"not ready, shown":  {`{` + app + `,"publishNotReadyAddresses":true}`, pod(func(p *PodFace) { p.Status.Ready = false }), "10.0.0.7 true false []"},
		"stopping":          {`{` + app + `}`, pod(func(p *PodFace) { p.Status.Stopping = true }), "10.0.0.7 false true []"},
		"out of reach":      {`{` + app + `}`, pod(func(p *PodFace) { p.NodeLost = true }), "10.0.0.7 false false []"},
		"others'":           {`{"selector":{"app":"other"}}`, pod(func(*PodFace) {}), ""},
		"no selector":       {`{}`, pod(func(*PodFace) {}), ""},
		"no address":        {`{` + app + `}`, pod(func(p *PodFace) { p.Status.IP = "" }), ""},
		"ended":             {`{` + app + `}`, pod(func(p *PodFace) { p.Status.Phase = Succeeded }), ""},
		"not reported":      {`{` + app + `}`, pod(func(p *PodFace) { p.Status = nil }), ""},
	} {
		have := ""
		if e, is := serviceOf(t, c.spec).Endpoint(c.pod); is {
			have = fmt.Sprint(e.Address, e.Ready, e.Ending, e.Ports)
		}
		if have != c.want {
			t.Errorf("%s: %q, want %q", name, have, c.want)
		}
	}
}

// The choices of one Service differ, and all are of the range.
func TestAddressesOfAService(t *testing.T) {
	s := serviceOf(t, `{}`)
	var chosen []netip.Addr
	for n := range AddressesTried {
		if a := s.Address(n); !serviceRange.Contains(a) || slices.Contains(chosen, a) {
			t.Errorf("choice %d is %s, after %v", n, a, chosen)
		}
		chosen = append(chosen, s.Address(n))
	}
	for spec, wants := range map[string]bool{`{}`: true, `{"clusterIP":"None"}`: false, `{"clusterIP":"10.0.0.1"}`: false, `{"type":"ExternalName"}`: false} {
		if serviceOf(t, spec).WantsAddress() != wants {
			t.Errorf("%s wants an address: %v", spec, !wants)
		}
	}
}
