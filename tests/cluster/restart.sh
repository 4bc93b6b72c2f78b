#!/usr/bin/env bash
# Usage: restart.sh PROGRAM [-SIGNAL]. Stops one program of the cluster's (kube-apiserver, say) and
# starts it again; returns when it answers. Tests use it to see what the adapter makes of that.
set -euo pipefail
# shellcheck source=tests/cluster/cluster.sh
. "$(dirname "$0")/cluster.sh"
# shellcheck source=tests/cluster/programs.sh
. "$here/programs.sh"
holder >/dev/null || die "there is no cluster: make cluster starts it"
lock
stop "${1:?usage: restart.sh PROGRAM [-SIGNAL]}" "${2:--TERM}"
ensure "$1"
