#!/usr/bin/env bash
# Starts the one-node cluster that the tests use, or what of it does not run. The programs it needs
# are built by `make tools-cluster`; `make cluster` does both.
set -euo pipefail
# shellcheck source=tests/cluster/cluster.sh
. "$(dirname "$0")/cluster.sh"
# shellcheck source=tests/cluster/programs.sh
. "$here/programs.sh"
# shellcheck source=tests/cluster/remove.sh
. "$here/remove.sh"
# shellcheck source=tests/cluster/images.sh
. "$here/images.sh"

coredns_version=$(awk '$1 == "github.com/coredns/coredns" { print $2 }' "$root/tests/tools/coredns/go.mod")

ensure_network() {
    network_is_there || ip netns add "$netns"
    in_network ip link set lo up
    # The node's address must not be loopback, and not every kernel has the dummy device.
    in_network ip link show node0 >/dev/null 2>&1 || in_network ip link add node0 type bridge
    in_network ip address replace "$node_ip/24" dev node0
    in_network ip link set node0 up
    # Without a route, a Service's address is unreachable before kube-proxy's rules can translate it.
    in_network ip route replace "$service_cidr" dev node0
    in_network sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables'
}

ensure_cgroups() {
    local hierarchy
    while read -r hierarchy; do
        mkdir -p "$hierarchy/$cgroup"
        # A cpuset of version 1 without these lets no process in.
        [ ! -e "$hierarchy/cpuset.cpus" ] || cat "$hierarchy/cpuset.cpus" >"$hierarchy/$cgroup/cpuset.cpus"
        [ ! -e "$hierarchy/cpuset.mems" ] || cat "$hierarchy/cpuset.mems" >"$hierarchy/$cgroup/cpuset.mems"
    done < <(hierarchies)
    [ -e /sys/fs/cgroup/cgroup.controllers ] || return 0
    for controller in cpuset cpu io memory pids hugetlb; do
        grep -qw $controller /sys/fs/cgroup/cgroup.controllers || continue
        grep -qw $controller /sys/fs/cgroup/cgroup.subtree_control ||
            echo +$controller >/sys/fs/cgroup/cgroup.subtree_control
    done
}

start_holder() {
    cc -static -Os -o "$state/pause" "$here/pause.c"
    mkdir -p "$state"/{pid,var-lib}
    setsid nohup nsenter --net="/run/netns/$netns" -- \
        unshare --mount --propagation private --pid --fork --kill-child=KILL --mount-proc \
        "$here/holder.sh" "$state" </dev/null >"$state/log/holder" 2>&1 9>&- &
    wait_for 30 "the cluster's first process" holder || die "$(tail -1 "$state/log/holder")"
}

write_config() {
    local file
    mkdir -p "$state"/{config,cni}
    for file in "$here"/config/*; do
        sed -e "s#@STATE@#$state#g; s#@POD_CIDR@#$pod_cidr#g; s#@NODE@#$node#g; s#@DNS_IP@#$dns_ip#g" \
            -e "s#@CGROUP@#$cgroup#g; s#@COREDNS@#$coredns_version#g" "$file" | put "$state/config/${file##*/}"
    done
    put "$state/cni/10-bridge.conflist" <"$state/config/10-bridge.conflist"
    echo "nameserver $dns_ip" | put "$state/resolv.conf"
    (umask 077 && put "$kubeconfig" <"$pki/admin.kubeconfig")
}

# Writes its input to the file unless that is what the file says: kube-proxy ends when its
# configuration is touched.
put() {
    cat >"$1.partial"
    if cmp -s "$1.partial" "$1"; then rm "$1.partial"; else mv "$1.partial" "$1"; fi
}

ensure_dns() {
    import "registry.local/coredns:$coredns_version" "$cache/bin/coredns-$coredns_version/coredns"
    kubectl apply --server-side --force-conflicts -f "$state/config/coredns.yaml" >>"$state/log/kubectl" 2>&1
    kubectl -n kube-system rollout status deployment/coredns --timeout=180s >>"$state/log/kubectl" 2>&1 ||
        die "CoreDNS does not become ready: $(tail -1 "$state/log/kubectl")"
}

"$here/can-host.sh"
lock
began=$SECONDS
if ! holder >/dev/null; then
    remove_everything
    mkdir -p "$state/log"
    "$here/pki.sh" >"$state/log/pki" 2>&1 9>&- || die "making certificates: $(tail -1 "$state/log/pki")"
    ensure_network
    start_holder
fi
[ -d "$pki" ] || die "its state directory $state was removed while it ran: make cluster-down, then again"
ensure_network
ensure_cgroups
write_config
for program in "${programs[@]}"; do
    ensure "$program"
    [ "$program" != containerd ] || import registry.local/pause:3.10 "$state/pause"
done
wait_for 120 "the node to register" kubectl get node "$node"
say "waiting for the node and its DNS"
kubectl wait --for=condition=Ready "node/$node" --timeout=180s >>"$state/log/kubectl" 2>&1 ||
    die "the node does not become ready: $(tail -2 "$state/log/kubelet" | cut -c -400)"
wait_for 120 "the service account of the default namespace" kubectl -n default get serviceaccount default
ensure_dns
say "ready after $((SECONDS - began)) s: one node, Kubernetes $(basename "$(kubernetes_bin)" | cut -d - -f 2)"
say "a shell in it: tests/cluster/run.sh bash"
echo "export KUBECONFIG=$kubeconfig"
