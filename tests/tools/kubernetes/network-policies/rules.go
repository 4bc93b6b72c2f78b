package main

import (
	"crypto/sha256"
	"fmt"
	"sort"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	root = "OILER-POLICY"
	// A bit that kube-proxy leaves alone.
	allowed = "0x10000/0x10000"
)

// cluster is what the policies speak about.
type cluster struct {
	namespaces map[string]labels.Set
	pods       []*core.Pod
	policies   []*networking.NetworkPolicy
}

// rules is the content of the chains, by the name of the chain.
type rules map[string][]string

// side tells the two directions of traffic apart, as a pod sees them.
type side struct {
	kind       networking.PolicyType
	own, other string // the options of iptables for the pod's own address and the other's
}

var (
	ingress = side{networking.PolicyTypeIngress, "-d", "-s"}
	egress  = side{networking.PolicyTypeEgress, "-s", "-d"}
)

// peers and ports are the same in both directions; only their types differ.
type opening struct {
	peers []networking.NetworkPolicyPeer
	ports []networking.NetworkPolicyPort
}

// translate turns the policies into rules. A pod that no policy selects has none; a packet that
// belongs to a connection that was let through passes.
func translate(c cluster) rules {
	all := rules{root: {"-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"}}
	for _, pod := range c.pods {
		for _, side := range []side{ingress, egress} {
			openings, isolated := c.openings(pod, side)
			if !isolated {
				continue
			}
			chain := chainName(pod.Status.PodIP, string(side.kind))
			all[root] = append(all[root], fmt.Sprintf("%s %s/32 -j %s", side.own, pod.Status.PodIP, chain))
			all[chain] = append(all[chain], "-j MARK --set-xmark 0x0/0x10000")
			for _, opening := range openings {
				c.open(all, chain, pod, side, opening)
			}
			all[chain] = append(all[chain], "-m mark ! --mark "+allowed+" -j DROP")
		}
	}
	return all
}

func (c cluster) openings(pod *core.Pod, side side) (openings []openingIn, isolated bool) {
	for _, policy := range c.policies {
		if policy.Namespace != pod.Namespace || !selects(&policy.Spec.PodSelector, pod.Labels) || !applies(policy, side.kind) {
			continue
		}
		isolated = true
		if side.kind == networking.PolicyTypeIngress {
			for _, rule := range policy.Spec.Ingress {
				openings = append(openings, openingIn{policy.Namespace, opening{rule.From, rule.Ports}})
			}
		} else {
			for _, rule := range policy.Spec.Egress {
				openings = append(openings, openingIn{policy.Namespace, opening{rule.To, rule.Ports}})
			}
		}
	}
	return openings, isolated
}

// openingIn is an opening with the namespace that its bare pod selectors mean.
type openingIn struct {
	namespace string
	opening
}

func applies(policy *networking.NetworkPolicy, kind networking.PolicyType) bool {
	if len(policy.Spec.PolicyTypes) == 0 {
		return kind == networking.PolicyTypeIngress || len(policy.Spec.Egress) > 0
	}
	for _, have := range policy.Spec.PolicyTypes {
		if have == kind {
			return true
		}
	}
	return false
}

// open adds the rules that mark what one opening lets through.
func (c cluster) open(all rules, chain string, pod *core.Pod, side side, opening openingIn) {
	mark := " -j MARK --set-xmark " + allowed
	if len(opening.peers) == 0 {
		for _, port := range portMatches(opening.ports, nil, side, pod) {
			all[chain] = append(all[chain], strings.TrimSpace(port+mark))
		}
		return
	}
	for _, peer := range opening.peers {
		if block := peer.IPBlock; block != nil {
			for _, port := range portMatches(opening.ports, nil, side, pod) {
				c.openBlock(all, chain, side, block, port+mark)
			}
			continue
		}
		for _, other := range c.selected(opening.namespace, peer) {
			for _, port := range portMatches(opening.ports, other, side, pod) {
				all[chain] = append(all[chain], fmt.Sprintf("%s %s/32%s%s", side.other, other.Status.PodIP, port, mark))
			}
		}
	}
}

// A block with exceptions needs a chain of its own, which the exceptions leave early.
func (c cluster) openBlock(all rules, chain string, side side, block *networking.IPBlock, then string) {
	target := chain
	if len(block.Except) > 0 {
		target = chainName(chain, block.CIDR+strings.Join(block.Except, ",")+then)
		all[chain] = append(all[chain], "-j "+target)
		all[target] = nil
		for _, except := range block.Except {
			all[target] = append(all[target], fmt.Sprintf("%s %s -j RETURN", side.other, except))
		}
	}
	all[target] = append(all[target], fmt.Sprintf("%s %s%s", side.other, block.CIDR, then))
}

func (c cluster) selected(namespace string, peer networking.NetworkPolicyPeer) (found []*core.Pod) {
	for _, pod := range c.pods {
		if peer.NamespaceSelector == nil && pod.Namespace != namespace {
			continue
		}
		if peer.NamespaceSelector != nil && !selects(peer.NamespaceSelector, c.namespaces[pod.Namespace]) {
			continue
		}
		if peer.PodSelector == nil || selects(peer.PodSelector, pod.Labels) {
			found = append(found, pod)
		}
	}
	return found
}

// portMatches gives one match for each port, or the empty one where there is no limit. A port's name
// means the port of the pod that is called: the pod itself, or the other one, which may be unknown.
func portMatches(ports []networking.NetworkPolicyPort, other *core.Pod, side side, pod *core.Pod) (matches []string) {
	if len(ports) == 0 {
		return []string{""}
	}
	called := other
	if side.kind == networking.PolicyTypeIngress {
		called = pod
	}
	for _, port := range ports {
		protocol := core.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		match := " -p " + strings.ToLower(string(protocol))
		switch {
		case port.Port == nil:
			matches = append(matches, match)
		case port.Port.Type == intstr.String:
			if number, ok := portNamed(called, port.Port.StrVal, protocol); ok {
				matches = append(matches, fmt.Sprintf("%s --dport %d", match, number))
			}
		case port.EndPort != nil:
			matches = append(matches, fmt.Sprintf("%s --dport %d:%d", match, port.Port.IntVal, *port.EndPort))
		default:
			matches = append(matches, fmt.Sprintf("%s --dport %d", match, port.Port.IntVal))
		}
	}
	return matches
}

func portNamed(pod *core.Pod, name string, protocol core.Protocol) (int32, bool) {
	if pod == nil {
		return 0, false
	}
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name && (port.Protocol == protocol || port.Protocol == "" && protocol == core.ProtocolTCP) {
				return port.ContainerPort, true
			}
		}
	}
	return 0, false
}

// The API server has checked every selector, so one that cannot be read selects nothing.
func selects(selector *meta.LabelSelector, set labels.Set) bool {
	parsed, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(set)
}

// A chain's name has at most 28 characters.
func chainName(parts ...string) string {
	return fmt.Sprintf("OILER-%x", sha256.Sum256([]byte(strings.Join(parts, "|"))))[:22]
}

// script is what iptables-restore reads: it replaces the chains' content in one step, and deletes
// those that are needed no more.
func script(now, before rules) string {
	var text strings.Builder
	text.WriteString("*mangle\n")
	for _, chain := range names(now, before) {
		fmt.Fprintf(&text, ":%s - [0:0]\n", chain)
	}
	for _, chain := range names(now) {
		for _, rule := range now[chain] {
			fmt.Fprintf(&text, "-A %s %s\n", chain, rule)
		}
	}
	for _, chain := range names(before) {
		if _, still := now[chain]; !still {
			fmt.Fprintf(&text, "-X %s\n", chain)
		}
	}
	text.WriteString("COMMIT\n")
	return text.String()
}

func names(some ...rules) (sorted []string) {
	seen := map[string]bool{}
	for _, rules := range some {
		for chain := range rules {
			if !seen[chain] {
				seen[chain] = true
				sorted = append(sorted, chain)
			}
		}
	}
	sort.Strings(sorted)
	return sorted
}
