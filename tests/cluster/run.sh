#!/usr/bin/env bash
# Usage: run.sh COMMAND... Runs the command in the cluster's network with KUBECONFIG set and the
# programs of scripts/tools in the PATH.
set -euo pipefail
# shellcheck source=tests/cluster/cluster.sh
. "$(dirname "$0")/cluster.sh"
[ $# -gt 0 ] || die "usage: run.sh COMMAND..."
network_is_there && [ -e "$kubeconfig" ] || die "there is no cluster: make cluster starts it"

path=$(kubernetes_bin)
for program in helm kubeconform grpcurl; do
    newest=$(find "$cache/bin" -maxdepth 1 -name "$program-*" | sort -V | tail -1)
    path+=${newest:+:$newest}
done
export KUBECONFIG=$kubeconfig PATH=$path:$PATH
exec nsenter --net="/run/netns/$netns" -- "$@"
