// Enforces NetworkPolicies on the one node of the test cluster, whose bridge plugin does not: each
// pod that a policy selects gets chains of iptables. Packets that are not let through are dropped,
// not refused, so that a client which asks before its address is known here gets through later.
//
// What is the node's own (probes, and clients in its network) reaches every pod, as the definition of
// NetworkPolicy allows. IPv4 only; SCTP is not tested.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/exec"
	"os/signal"
	"sort"
	"strings"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods()
	namespaces := factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()

	changed := make(chan struct{}, 1)
	notice := func() {
		select {
		case changed <- struct{}{}:
		default: // a look that is due anyway will see this change too
		}
	}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { notice() },
			UpdateFunc: func(any, any) { notice() },
			DeleteFunc: func(any) { notice() },
		}); err != nil {
			return fmt.Errorf("watch the cluster: %w", err)
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	look := func() (cluster, error) {
		seen := cluster{namespaces: map[string]labels.Set{}}
		all, err := namespaces.Lister().List(labels.Everything())
		if err != nil {
			return seen, err
		}
		for _, namespace := range all {
			seen.namespaces[namespace.Name] = namespace.Labels
		}
		if seen.policies, err = policies.Lister().List(labels.Everything()); err != nil {
			return seen, err
		}
		running, err := pods.Lister().List(labels.Everything())
		for _, pod := range running {
			if hasAddress(pod) {
				seen.pods = append(seen.pods, pod)
			}
		}
		// The lists come in no order; the same cluster must give the same rules.
		sort.Slice(seen.pods, func(a, b int) bool { return seen.pods[a].UID < seen.pods[b].UID })
		sort.Slice(seen.policies, func(a, b int) bool { return seen.policies[a].UID < seen.policies[b].UID })
		return seen, err
	}
	return enforce(ctx, changed, notice, look)
}

// The address of a pod that has ended may already be another's.
func hasAddress(pod *core.Pod) bool {
	return !pod.Spec.HostNetwork && pod.Status.PodIP != "" &&
		pod.Status.Phase != core.PodSucceeded && pod.Status.Phase != core.PodFailed
}

func enforce(ctx context.Context, changed <-chan struct{}, notice func(), look func() (cluster, error)) error {
	before, err := chainsThere(ctx)
	if err != nil {
		return err
	}
	if err := restore(ctx, script(rules{root: nil}, before)); err != nil {
		return err
	}
	before = rules{root: nil}
	for _, hook := range []string{"FORWARD", "INPUT"} {
		if iptables(ctx, "-C", hook, "-j", root) == nil {
			continue
		}
		if err := iptables(ctx, "-I", hook, "-j", root); err != nil {
			return err
		}
	}
	log.Print("enforcing")
	applied := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		seen, err := look()
		if err != nil {
			return fmt.Errorf("look at the cluster: %w", err)
		}
		now := translate(seen)
		if text := script(now, now); text != applied {
			if err := restore(ctx, script(now, before)); err != nil {
				// Nothing was changed then; the next look tries again.
				log.Print(err)
				time.AfterFunc(time.Second, notice)
				continue
			}
			log.Printf("%d policies, %d chains", len(seen.policies), len(now)-1)
			applied, before = text, now
		}
		// Changes come in crowds.
		time.Sleep(50 * time.Millisecond)
	}
}

// What an enforcer that was killed has left.
func chainsThere(ctx context.Context) (rules, error) {
	output, err := exec.CommandContext(ctx, "iptables", "-w", "-t", "mangle", "-S").Output()
	if err != nil {
		return nil, fmt.Errorf("list the chains: %w", err)
	}
	found := rules{}
	for _, line := range strings.Split(string(output), "\n") {
		if name, ok := strings.CutPrefix(line, "-N OILER-"); ok {
			found["OILER-"+name] = nil
		}
	}
	return found, nil
}

func iptables(ctx context.Context, arguments ...string) error {
	output, err := exec.CommandContext(ctx, "iptables", append([]string{"-w", "-t", "mangle"}, arguments...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("iptables %s: %w: %s", strings.Join(arguments, " "), err, output)
	}
	return nil
}

func restore(ctx context.Context, text string) error {
	command := exec.CommandContext(ctx, "iptables-restore", "-w", "--noflush")
	command.Stdin = strings.NewReader(text)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("iptables-restore: %w: %s\n%s", err, output, text)
	}
	return nil
}
