#!/usr/bin/env bash
# Usage: import-images.sh ARCHIVE... Imports docker or OCI archives into the cluster's containerd.
# Prints the name of each image that is there afterwards.
set -euo pipefail
# shellcheck source=tests/cluster/cluster.sh
. "$(dirname "$0")/cluster.sh"
[ $# -gt 0 ] || die "usage: import-images.sh ARCHIVE..."
holder >/dev/null || die "there is no cluster: make cluster starts it"
for archive in "$@"; do
    archive=$(realpath "$archive")
    say "importing $archive"
    # The pipe lets the archive lie where the cluster's own mounts would hide it.
    containers images import - <"$archive" >&2
done
containers images ls -q | grep -v '^sha256:'
