package kube

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// Each of the clients has its informers moved to another node as often: 20 moves in
// all. One client alone would take a quarter of an hour, since a reflector waits longer
// after each, up to a minute. Before round splitAt the cluster is split, before healAt
// it is healed, so that nodes differ for a while.
const clients, rounds, splitAt, healAt = 4, 5, 2, 4

// TestInformersSwitchNodes has client-go's informers behind an address that moves from
// node to node, as a failing load balancer would, while objects come and go on all
// nodes: what the informers hold is soon what the node has to which they lead, no more
// and no less. A version of one node that another resumed from would leave objects in
// their caches that are not there.
func TestInformersSwitchNodes(t *testing.T) {
	t.Parallel()
	n := start(t)
	names, direct := n.names(), map[string]*kubernetes.Clientset{}
	for _, node := range names {
		direct[node] = client(t, n.rest(node))
	}
	deploy(t, direct["n1"])
	var all []*moving
	for i := range clients {
		all = append(all, watch(t, n, names[i%len(names)]))
	}
	for round := range rounds {
		switch round {
		case splitAt:
			n.verb("partition", "n1,n2|n3,n4")
		case healAt:
			n.verb("heal")
		}
		scale(t, direct[names[round%len(names)]], int32(1+round%3))
		churn(t, direct, 2*round)
		for i, m := range all {
			m.node = names[(i+round*(round+1)/2+1)%len(names)] // by 1, 2, 3, ...: each after each
			m.way.lead(t, n.rest(m.node))
		}
		churn(t, direct, 2*round+1)
		for i, m := range all {
			soon(t, fmt.Sprintf("round %d: what client %d holds is what %s has", round, i, m.node), func() error { return m.compare(t, direct[m.node]) })
		}
	}
	t.Logf("%d informers of %d clients, each moved %d times", clients*len(all[0].informers), clients, rounds)
}

// moving is a client with informers, and the way to the node that it asks now.
type moving struct {
	way       *nodeSwitch
	node      string
	informers map[string]cache.SharedIndexInformer
}

func watch(t *testing.T, n *testnet, node string) *moving {
	t.Helper()
	m := &moving{way: newSwitch(t), node: node}
	config := n.rest(node)
	m.way.lead(t, config)
	config.Host = "https://" + m.way.Addr().String()
	factory := informers.NewSharedInformerFactory(client(t, config), 0)
	m.informers = map[string]cache.SharedIndexInformer{
		"configmaps":  factory.Core().V1().ConfigMaps().Informer(),
		"deployments": factory.Apps().V1().Deployments().Informer(),
		"pods":        factory.Core().V1().Pods().Informer(),
		"secrets":     factory.Core().V1().Secrets().Informer(),
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		factory.Shutdown()
	})
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(t.Context().Done())
	return m
}

// churn makes an object on each node and deletes on the next what an earlier churn made.
func churn(t *testing.T, nodes map[string]*kubernetes.Clientset, round int) {
	t.Helper()
	names := slices.Sorted(maps.Keys(nodes))
	for i, node := range names {
		maps := nodes[node].CoreV1().ConfigMaps("default")
		made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", node, round)}, Data: map[string]string{"round": fmt.Sprint(round)}}
		if _, err := maps.Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		all, err := maps.List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for k, old := range all.Items {
			if old.Name == made.Name || k%len(names) != i {
				continue
			}
			if err := maps.Delete(t.Context(), old.Name, metav1.DeleteOptions{}); err != nil {
				t.Logf("delete %s on %s: %v", old.Name, node, err)
			}
		}
	}
}

const workload = "sleepers"

func deploy(t *testing.T, node *kubernetes.Clientset) {
	t.Helper()
	labels := map[string]string{"app": workload}
	_, err := node.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: workload},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: new(int64),
					Containers:                    []corev1.Container{{Name: "c", Image: "x", Command: []string{"sleep", "1000"}}},
				},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func scale(t *testing.T, node *kubernetes.Clientset, replicas int32) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	_, err := node.AppsV1().Deployments("default").Patch(t.Context(), workload, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// compare says how the caches differ from what a node lists.
func (m *moving) compare(t *testing.T, node *kubernetes.Clientset) error {
	for _, kind := range slices.Sorted(maps.Keys(m.informers)) {
		group := node.CoreV1().RESTClient()
		if kind == "deployments" {
			group = node.AppsV1().RESTClient()
		}
		list := &metav1.PartialObjectMetadataList{}
		err := group.Get().Resource(kind).SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").Do(t.Context()).Into(list)
		if err != nil {
			return err
		}
		there := map[string]string{}
		for _, o := range list.Items {
			there[o.Namespace+"/"+o.Name] = string(o.UID)
		}
		held := map[string]string{}
		for _, o := range m.informers[kind].GetStore().List() {
			meta := o.(metav1.ObjectMetaAccessor).GetObjectMeta()
			held[meta.GetNamespace()+"/"+meta.GetName()] = string(meta.GetUID())
		}
		if !maps.Equal(there, held) {
			return fmt.Errorf("%s: the node has %v, the informer holds %v", kind, there, held)
		}
	}
	return nil
}

// soon waits for what look wants.
func soon(t *testing.T, what string, look func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(lookAt) {
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", patience, what, err)
		}
	}
}

func (n *testnet) names() (names []string) {
	for i := range nodes {
		names = append(names, fmt.Sprintf("n%d", i+1))
	}
	return names
}

func (n *testnet) rest(node string) *rest.Config {
	n.t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig(n.kubeconfig(node))
	if err != nil {
		n.t.Fatal(err)
	}
	return config
}

func client(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	config.QPS, config.Burst, config.WarningHandler = 200, 200, rest.NoWarnings{}
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// nodeSwitch is an address that leads to one node at a time.
type nodeSwitch struct {
	net.Listener
	mu     sync.Mutex
	target string
	open   map[net.Conn]bool
	wg     sync.WaitGroup
}

func newSwitch(t *testing.T) *nodeSwitch {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nodeSwitch{Listener: l, open: map[net.Conn]bool{}}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.carry(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.cut()
		s.wg.Wait()
	})
	return s
}

// lead ends all connections; new ones go to another node.
func (s *nodeSwitch) lead(t *testing.T, to *rest.Config) {
	t.Helper()
	_, target, found := strings.Cut(to.Host, "://")
	if !found {
		t.Fatalf("%q is no address of a server", to.Host)
	}
	s.mu.Lock()
	s.target = target
	s.mu.Unlock()
	s.cut()
}

func (s *nodeSwitch) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		_ = c.Close()
	}
}

func (s *nodeSwitch) carry(c net.Conn) {
	defer c.Close()
	s.mu.Lock()
	target := s.target
	s.open[c] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.open, c)
		s.mu.Unlock()
	}()
	up, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer up.Close()
	s.wg.Go(func() {
		_, _ = io.Copy(c, up)
		_ = c.Close()
	})
	_, _ = io.Copy(up, c)
}
