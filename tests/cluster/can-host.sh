#!/usr/bin/env bash
# Says whether this machine can host the cluster: nothing and success, or one sentence and 77.
set -euo pipefail
# shellcheck source=tests/cluster/cluster.sh
. "$(dirname "$0")/cluster.sh"

no() {
    echo "this machine cannot host the test cluster: $*" >&2
    exit 77
}

[ "$(uname -s)" = Linux ] || no "it is not Linux"
[ "$(id -u)" = 0 ] || no "only root may make namespaces, mounts and cgroups, and this is $(id -un)"
for program in ip iptables nsenter unshare containerd ctr runc conntrack openssl curl cc; do
    command -v $program >/dev/null || no "$program is missing; scripts/install-containers.sh installs it on Debian"
done
[ -x /usr/lib/cni/bridge ] || no "the CNI plugins are missing in /usr/lib/cni; scripts/install-containers.sh installs them on Debian"

unshare --net --mount --pid --fork true 2>/dev/null || no "it refuses new network, mount or process namespaces"
unshare --net sh -c 'ip link add probe0 type bridge && ip link add probe1 type veth peer name probe2' 2>/dev/null ||
    no "its kernel has no bridge or veth devices"
unshare --net sh -c 'iptables -w -t nat -A OUTPUT -p tcp -m comment --comment x -j DNAT --to-destination 127.0.0.1:1 &&
    iptables -w -A FORWARD -m conntrack --ctstate NEW -m mark --mark 1 -j ACCEPT' 2>/dev/null ||
    no "iptables cannot translate addresses here"
[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || modprobe br_netfilter 2>/dev/null ||
    no "its kernel has no bridge netfilter (br_netfilter)"

case $cache/ in
    /run/* | /var/lib/* | /var/log/*) no "its cache $cache lies where the cluster has mounts of its own; set XDG_CACHE_HOME" ;;
esac
mkdir -p "$cache"
# shellcheck disable=SC2016 # the inner shell expands these
unshare --mount sh -c 'mkdir -p "$0/l" "$0/u" "$0/w" "$0/m" &&
    mount -t overlay -o "lowerdir=$0/l,upperdir=$0/u,workdir=$0/w" overlay "$0/m"' "$state.probe" 2>/dev/null ||
    no "overlay mounts do not work in $cache"
rm -rf "$state.probe"

for controller in cpu memory pids; do
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        grep -qw $controller /sys/fs/cgroup/cgroup.controllers || no "the cgroup controller $controller is not there"
        directory=/sys/fs/cgroup
    else
        directory=$(awk -v c=$controller 'index($2, "/sys/fs/cgroup") == 1 && $4 ~ "(^|,)" c "(,|$)" { print $2; exit }' /proc/mounts)
        [ -n "$directory" ] || no "the cgroup controller $controller is not mounted"
    fi
    { mkdir -p "$directory/$cgroup.probe" && rmdir "$directory/$cgroup.probe"; } 2>/dev/null || no "cgroups cannot be made in $directory"
done

megabytes=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
holder >/dev/null || [ "$megabytes" -ge 2000 ] || no "it has $megabytes MB of free memory, and 2000 are needed"
free=$(df -Pm "$cache" | awk 'NR == 2 { print $4 }')
holder >/dev/null || [ "$free" -ge 4000 ] || no "$cache has $free MB of free space, and 4000 are needed"
