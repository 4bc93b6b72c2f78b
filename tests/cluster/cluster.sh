# What the scripts of the cluster share: to be sourced. Names, addresses, and how to reach into it.
#
# The cluster lives in a network namespace of its own, `oiler`, and, inside, in a mount and a
# process namespace. The first process of the latter, the holder, is the cluster's life: with it
# the kernel ends every process and every mount that the cluster has made, whatever state they are in.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter
# shellcheck disable=SC2034 # used by the scripts that source this
{
    # A second cluster beside the first: OILER_CLUSTER=oiler-2 make cluster
    netns=${OILER_CLUSTER:-oiler}
    state=$cache/cluster${OILER_CLUSTER:+-$OILER_CLUSTER}
    node=node1
    node_ip=10.199.0.1
    api_ip=10.96.0.1
    dns_ip=10.96.0.10
    service_cidr=10.96.0.0/20
    pod_cidr=10.89.0.0/24
    cgroup=$netns
    kubeconfig=$state/kubeconfig
    pki=$state/pki
    containerd_socket=$state/containerd.sock
}

# What kubectl remembers goes with the cluster.
export KUBECACHEDIR=$state/kubectl-cache

say() { echo "cluster: $*" >&2; }

die() {
    say "$*"
    exit 1
}

# One script at a time changes the cluster. The programs it starts must not inherit the lock.
lock() {
    mkdir -p "$cache"
    exec 9>"$state.lock"
    flock --nonblock 9 || { say "waiting for another make cluster or cluster-down"; flock 9; }
}

# wait_for SECONDS WHAT COMMAND...: the command is asked until it succeeds.
wait_for() {
    local seconds=$1 what=$2 began=$SECONDS
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $((SECONDS - began)) -ge "$seconds" ]; then
            say "gave up after $seconds s waiting for $what; the logs are in $state/log"
            return 1
        fi
        sleep 0.2
    done
}

# After a crash of the machine the name may be there without its namespace.
network_is_there() { [ "$(stat -f -c %T "/run/netns/$netns" 2>/dev/null)" = nsfs ]; }

# The holder's process id, as this side sees it. It is known by its namespace and its program, not
# by a file, so that it is found even if the script that started it was killed.
holder() {
    local pid
    network_is_there || return 1
    for pid in $(ip netns pids "$netns" 2>/dev/null); do
        # The kernel writes "(deleted)" behind the name of a program whose file is gone.
        case $(readlink "/proc/$pid/exe" 2>/dev/null) in "$state/pause"*) ;; *) continue ;; esac
        [ "$(awk '$1 == "NSpid:" { print $NF }' "/proc/$pid/status" 2>/dev/null)" = 1 ] || continue
        echo "$pid"
        return
    done
    return 1
}

# Runs a command where the cluster's own programs run.
inside() {
    local pid
    pid=$(holder) || return 1
    nsenter --target "$pid" --mount --net --pid -- "$@"
}

in_network() { nsenter --net="/run/netns/$netns" -- "$@"; }

# The directories at which cgroups are mounted: one for each controller of version 1, beside them or
# alone that of version 2.
hierarchies() {
    awk 'index($2, "/sys/fs/cgroup") == 1 && ($3 == "cgroup" || $3 == "cgroup2") { print $2 }' /proc/mounts
}

kubernetes_bin() {
    local version
    version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$root/tests/tools/kubernetes/go.mod")
    echo "$cache/bin/kubernetes-$version"
}

kubectl() { in_network "$(kubernetes_bin)/kubectl" --kubeconfig "$kubeconfig" "$@"; }

containers() { inside ctr --address "$containerd_socket" --namespace k8s.io "$@"; }
