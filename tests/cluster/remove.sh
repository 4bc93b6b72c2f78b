# How everything that the cluster has made is removed: to be sourced after cluster.sh. That is what
# `make cluster-down` does, and what `make cluster` begins with where no cluster runs.

command_of() { tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline"; }

# The processes on this side through which up.sh reached into the cluster's namespaces. They end
# with what they have started; the first of them exists before there is a holder.
doors() {
    local pid
    for pid in $(ip netns pids "$netns"); do
        case "$(cat "/proc/$pid/comm" 2>/dev/null) $(command_of "$pid" 2>/dev/null)" in
            "unshare "*" $state "* | "nsenter "*" $state/pid/"*) echo "$pid" ;;
        esac
    done
}

end_processes() {
    local pid
    network_is_there || return 0
    for pid in $(holder) $(doors); do
        kill -KILL "$pid" 2>/dev/null || true
    done
    wait_for 60 "the cluster's processes to end" eval '[ -z "$(holder)$(doors)" ]'
}

remove_cgroups() {
    local hierarchy
    while read -r hierarchy; do
        rmdir "$hierarchy/$cgroup.probe" 2>/dev/null || true
        [ -d "$hierarchy/$cgroup" ] || continue
        # A cgroup can be removed a moment after its last process has gone.
        wait_for 60 "$hierarchy/$cgroup to be empty" remove_tree "$hierarchy/$cgroup"
    done < <(hierarchies)
}

remove_tree() { find "$1" -depth -type d -exec rmdir {} + && [ ! -d "$1" ]; }

remove_network() {
    local pid command
    if network_is_there; then
        for pid in $(ip netns pids "$netns"); do
            command=$(command_of "$pid" 2>/dev/null | cut -c -100)
            # A process that is just ending has none.
            [ -z "$command" ] || say "process $pid, which make cluster has not started, still uses the network: $command"
        done
    fi
    [ ! -e "/run/netns/$netns" ] || ip netns delete "$netns"
    # `ip netns add` mounts the directory of all names onto itself; the last one to go takes that away.
    if [ -d /run/netns ] && [ -z "$(ls -A /run/netns)" ]; then
        umount /run/netns 2>/dev/null || true
        rmdir /run/netns || true
    fi
}

remove_state() {
    local mounted
    mounted=$(awk -v state="$state/" 'index($2, state) == 1 { print $2 }' /proc/mounts | sort -r)
    [ -z "$mounted" ] || xargs -r -n 1 umount -l <<<"$mounted"
    rm -rf --one-file-system "$state" "$state.probe"
}

# Also what up.sh has left when it was killed half way; no harm where nothing is.
remove_everything() {
    end_processes
    remove_cgroups
    remove_network
    remove_state
}
