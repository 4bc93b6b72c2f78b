#!/usr/bin/env bash
# Ends the cluster and removes every trace of it: processes, mounts, network, cgroups, state.
# Does no harm where there is none, or where up.sh was killed half way.
set -euo pipefail
# shellcheck source=tests/cluster/cluster.sh
. "$(dirname "$0")/cluster.sh"
# shellcheck source=tests/cluster/remove.sh
. "$here/remove.sh"

[ "$(id -u)" = 0 ] || die "only root can have started a cluster"
lock
remove_everything
say "nothing of it is left"
