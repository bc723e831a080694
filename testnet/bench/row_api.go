package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// apiLoad is what the API's figures are of: the objects of a hundred nodes.
type apiLoad struct {
	crowded
	maps                   int
	length                 time.Duration // of each load
	lists                  int           // one after the other
	inTurn                 int           // reads, one after the other
	watchers, writes, idle int
}

func (b *bench) apiLoad() apiLoad {
	return apiLoad{
		crowded: crowded{deployments: b.scaled(500, 50), replicas: 10, nodes: b.scaled(100, 10)}, maps: b.scaled(2000, 200),
		length: time.Duration(b.scaled(20, 4)) * time.Second, lists: b.scaled(10, 3),
		watchers: b.scaled(1000, 200), inTurn: b.scaled(5000, 1000), writes: b.scaled(50, 20), idle: b.scaled(5000, 1000),
	}
}

// apiRate is how many requests the clients of the API send in a second, all together.
const (
	apiRate    = 50
	apiClients = 8
)

// kubernetesAPI measures what a node's API costs its clients and its memory.
func kubernetesAPI(ctx context.Context, b *bench) error {
	l := b.apiLoad()
	return b.withAPINode(ctx, l.crowded, func(n *apiNode) error {
		if err := n.fill(ctx, l); err != nil {
			return err
		}
		ids := numbers{last: 1}
		for range b.rounds {
			quiet, err := n.quietMemory(ctx)
			if err != nil {
				return err
			}
			b.api(fmt.Sprintf("RSS of a quiet node that shows %d pods of %d Deployments on %d nodes, %d ConfigMaps of 1 KB (the core holds %d pods of it)",
				l.deployments*l.replicas, l.deployments, l.nodes, l.maps, l.replicas), "MiB").
				add(quiet["VmRSS"].median(), 0)
			if err := b.oneByOne(ctx, n, l, &ids); err != nil {
				return err
			}
			if err := b.lists(ctx, n, l); err != nil {
				return err
			}
			if err := b.fanOut(ctx, n, l, &ids); err != nil {
				return err
			}
			if err := b.idleWatches(ctx, n, l, &ids); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bench) api(what, unit string) *figure { return b.figure("API", what, unit, "", goal{}) }

const deploymentsPath = "/apis/apps/v1/namespaces/default/deployments"

// theOriginal is what a client sends; its pods are of a usual size.
func theOriginal(replicas int) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"%[1]s","namespace":"default","labels":{"app":"%[1]s"}},
"spec":{"replicas":%[2]d,"selector":{"matchLabels":{"app":"%[1]s"}},"template":{"metadata":{"labels":{"app":"%[1]s","tier":"web"}},
"spec":{"containers":[{"name":"web","image":"registry.example/web:1.2.3","command":["/bin/web"],"args":["--listen=:8080","--verbose"],
"env":[{"name":"LEVEL","value":"info"},{"name":"REGION","value":"north"}],"ports":[{"name":"http","containerPort":8080}],
"resources":{"requests":{"cpu":"10m","memory":"16Mi"}}}]}}}}`, original, replicas)
}

// fill makes the objects and waits until the node shows all.
func (n *apiNode) fill(ctx context.Context, l apiLoad) error {
	return n.withClients(ctx, apiClients, 1, func(clients []*httpAPI) error {
		err := parallel(ctx, apiClients, func(ctx context.Context, client int) error {
			for key := client; key < l.maps; key += apiClients {
				if err := clients[client].create(ctx, 0, write{key, 0}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := clients[0].send(ctx, http.MethodPost, 0, deploymentsPath, theOriginal(l.replicas)); err != nil {
			return err
		}
		if err := n.says(ctx, filled); err != nil {
			return err
		}
		var pods struct{ Items []pod }
		if err := clients[0].decode(ctx, "/api/v1/pods", &pods); err != nil {
			return err
		}
		if want := l.deployments * l.replicas; len(pods.Items) != want {
			return fmt.Errorf("the node shows %d of %d pods", len(pods.Items), want)
		}
		return nil
	})
}

func (a *httpAPI) decode(ctx context.Context, path string, into any) error {
	body, err := a.open(ctx, http.MethodGet, 0, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(into)
}

// oneByOne measures requests for single objects, at a steady rate.
func (b *bench) oneByOne(ctx context.Context, n *apiNode, l apiLoad, ids *numbers) error {
	return n.withClients(ctx, apiClients, 1, func(clients []*httpAPI) error {
		var pods struct{ Items []pod }
		if err := clients[0].decode(ctx, "/api/v1/namespaces/default/pods?limit=100", &pods); err != nil {
			return err
		}
		mapPath := func(i int) string { return configMapsPath + "/" + keyName(i*7919%l.maps) } // a prime: all in turn
		for _, verb := range []struct {
			name string
			do   func(ctx context.Context, c *httpAPI, i int) error
		}{
			{"GET of a ConfigMap", func(ctx context.Context, c *httpAPI, i int) error {
				return c.send(ctx, http.MethodGet, 0, mapPath(i), nil)
			}},
			{"GET of a pod", func(ctx context.Context, c *httpAPI, i int) error {
				return c.send(ctx, http.MethodGet, 0, "/api/v1/namespaces/default/pods/"+pods.Items[i%len(pods.Items)].Metadata.Name, nil)
			}},
			{"PUT of a ConfigMap, durable", func(ctx context.Context, c *httpAPI, i int) error {
				return c.put(ctx, 0, write{i * 7919 % l.maps, ids.next()})
			}},
			{"merge PATCH of a ConfigMap, durable", func(ctx context.Context, c *httpAPI, i int) error {
				text := fmt.Appendf(nil, `{"data":{"value":%q}}`, valueOf(write{i * 7919 % l.maps, ids.next()}, largeValue))
				return c.drain(c.ask(ctx, http.MethodPatch, 0, mapPath(i), text, http.Header{"Content-Type": {"application/merge-patch+json"}}))
			}},
		} {
			took, cpu, err := n.paced(ctx, l, func(ctx context.Context, i int) error { return verb.do(ctx, clients[i%apiClients], i) })
			if err != nil {
				return fmt.Errorf("%s: %w", verb.name, err)
			}
			what := fmt.Sprintf("%s, %d clients, %d/s", verb.name, apiClients, apiRate)
			b.api(what+", p50", "ms").add(took.quantile(0.5), 0)
			b.api(what+", p99", "ms").add(took.quantile(0.99), 0)
			b.api("- processor time of the node for one "+verb.name, "ms").add(cpu, 0)
		}
		return b.besideBare(ctx, n, l, clients, mapPath)
	})
}

// paced makes requests at a steady rate: how long each took from when it was due, and the
// processor time of the node for one.
func (n *apiNode) paced(ctx context.Context, l apiLoad, do func(ctx context.Context, i int) error) (series, float64, error) {
	took := make(series, int(apiRate*l.length.Seconds()))
	cpu, err := cpuOf([]int{n.pid()}, float64(len(took)), func() error {
		return paced(ctx, apiClients, apiRate, l.length, func(ctx context.Context, i int, due time.Time) error {
			err := do(ctx, i)
			took[i] = millis(time.Since(due))
			return err
		})
	})
	return took, cpu, err
}

// besideBare compares reads with those of a server that does nothing, in the same process:
// what a machine makes of one request in 20 ms, or of one after the other.
func (b *bench) besideBare(ctx context.Context, n *apiNode, l apiLoad, clients []*httpAPI, path func(int) string) error {
	type reads struct {
		took series
		cpu  float64
	}
	var steady, inTurn [2]reads
	for member := range steady {
		get := func(ctx context.Context, c *httpAPI, i int) error {
			return c.send(ctx, http.MethodGet, member, path(i), nil)
		}
		for _, c := range clients { // connects
			if err := get(ctx, c, 0); err != nil {
				return err
			}
		}
		took, cpu, err := n.paced(ctx, l, func(ctx context.Context, i int) error { return get(ctx, clients[i%apiClients], i) })
		if err != nil {
			return err
		}
		steady[member] = reads{took, cpu}
		took = make(series, l.inTurn)
		cpu, err = cpuOf([]int{n.pid()}, float64(len(took)), func() error {
			for i := range took {
				began := time.Now()
				if err := get(ctx, clients[0], i); err != nil {
					return err
				}
				took[i] = millis(time.Since(began))
			}
			return nil
		})
		if err != nil {
			return err
		}
		inTurn[member] = reads{took, cpu}
	}
	for _, r := range []struct {
		how string
		of  [2]reads
	}{{fmt.Sprintf("%d clients, %d/s", apiClients, apiRate), steady}, {fmt.Sprintf("one client, %d in turn", l.inTurn), inTurn}} {
		beside := func(what string, holon, bare float64) {
			b.figure("API", what+", "+r.how, "ms", "bare net/http", goal{}).add(holon, bare)
		}
		holon, bare := r.of[0], r.of[1]
		beside("GET of a ConfigMap, p50", holon.took.quantile(0.5), bare.took.quantile(0.5))
		beside("GET of a ConfigMap, p99", holon.took.quantile(0.99), bare.took.quantile(0.99))
		beside("- processor time of the process for one", holon.cpu, bare.cpu)
	}
	return nil
}

// drain reads an answer to its end.
func (a *httpAPI) drain(body io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return errors.Join(err, body.Close())
}

// lists measures whole lists of all pods, in each form that clients ask for.
func (b *bench) lists(ctx context.Context, n *apiNode, l apiLoad) error {
	return n.withClients(ctx, 1, 1, func(clients []*httpAPI) error {
		for _, form := range []struct{ name, accept string }{
			{"JSON", "application/json"},
			{"Table (kubectl get)", "application/json;as=Table;v=v1;g=meta.k8s.io"},
			{"protobuf", "application/vnd.kubernetes.protobuf"},
		} {
			quiet, err := n.quietMemory(ctx)
			if err != nil {
				return err
			}
			var took series
			var size int64
			cpu, err := cpuOf([]int{n.pid()}, float64(l.lists), func() error {
				for range l.lists {
					began := time.Now()
					body, err := clients[0].ask(ctx, http.MethodGet, 0, "/api/v1/pods", nil, http.Header{"Accept": {form.accept}})
					if err != nil {
						return err
					}
					size, err = io.Copy(io.Discard, body)
					if err := errors.Join(err, body.Close()); err != nil {
						return err
					}
					took = append(took, millis(time.Since(began)))
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("list as %s: %w", form.name, err)
			}
			busy, err := n.memory()
			if err != nil {
				return err
			}
			what := fmt.Sprintf("list of %d pods, %s", l.deployments*l.replicas, form.name)
			b.api(what+fmt.Sprintf(", median of %d in turn", l.lists), "ms").add(took.median(), 0)
			b.api("- processor time of the node, "+form.name, "ms").add(cpu, 0)
			b.api("- bytes, "+form.name, "MB").add(float64(size)/1e6, 0)
			b.api(fmt.Sprintf("- peak RSS during the %d above the quiet node's, %s", l.lists, form.name), "MiB").
				add(busy["VmHWM"].median()-quiet["VmRSS"].median(), 0)
		}
		return nil
	})
}
