#!/usr/bin/env bash
# Ends the cluster and removes every trace of it: processes, mounts, network, cgroups, state.
# Does no harm where there is none, or where up.sh was killed half way.
set -euo pipefail
# shellcheck source=tests/cluster/cluster.sh
. "$(dirname "$0")/cluster.sh"

end_processes() {
    local pid
    # More than one holder can be there if up.sh was killed between two starts.
    while pid=$(holder); do
        kill -KILL "$pid" 2>/dev/null || true
        wait_for 60 "the cluster's processes to end" eval "! kill -0 $pid 2>/dev/null" || return 1
    done
}

remove_cgroups() {
    local hierarchy
    while read -r hierarchy; do
        [ -d "$hierarchy/$cgroup" ] || continue
        # A cgroup can be removed a moment after its last process has gone.
        wait_for 60 "$hierarchy/$cgroup to be empty" remove_tree "$hierarchy/$cgroup"
    done < <(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts)
}

remove_tree() { find "$1" -depth -type d -exec rmdir {} + && [ ! -d "$1" ]; }

remove_network() {
    [ -e "/run/netns/$netns" ] || return 0
    for pid in $(ip netns pids "$netns"); do
        say "process $pid, which make cluster has not started, still uses the network: $(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c -100)"
    done
    ip netns delete "$netns"
}

remove_state() {
    local mounted
    mounted=$(awk -v state="$state/" 'index($2, state) == 1 { print $2 }' /proc/mounts | sort -r)
    [ -z "$mounted" ] || xargs -r -n 1 umount -l <<<"$mounted"
    rm -rf --one-file-system "$state"
    # up.sh makes this place to mount on; others may use it.
    rmdir /var/lib/cni 2>/dev/null || true
}

[ "$(id -u)" = 0 ] || die "only root can have started a cluster"
lock
if [ ! -e "/run/netns/$netns" ] && [ ! -e "$state" ]; then
    say "there is none"
fi
end_processes
remove_cgroups
remove_network
remove_state
say "nothing of it is left"
