#!/usr/bin/env bash
# The e2e tests. Without KUBECONFIG on a cluster of our own, with images of the programs that all
# tests run, debug builds; it is started, and goes again unless `make cluster` had started it. With KUBECONFIG on that cluster, which
# must be able to pull the images of IMAGE_PREFIX.
# --if-possible: where the machine cannot host a cluster, that is said loudly and is no failure.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
cargo=${CARGO:-cargo}
say() { echo "e2e.sh: $*" >&2; }

tests=("$cargo" test --locked -p scheduler --test e2e -- --test-threads=1)
if [ -n "${KUBECONFIG:-}" ]; then
    : "${IMAGE_PREFIX:?IMAGE_PREFIX must name the images that the cluster can pull}"
    export IMAGE_PREFIX
    exec "${tests[@]}" "$@"
fi

if ! scripts/install-containers.sh; then
    why="what the cluster is made of could not be installed; see above"
else
    why=$(tests/cluster/can-host.sh 2>&1) && why=
fi
if [ -n "$why" ]; then
    {
        echo
        echo "==================== THE E2E TESTS DID NOT RUN ===================="
        echo "$why"
        echo "Images, chart and workers were not tried in a cluster."
        echo "KUBECONFIG=… IMAGE_PREFIX=… make e2e runs them on another one."
        echo "===================================================================="
    } >&2
    [ "${1:-}" = --if-possible ] && exit 0
    exit 1
fi
[ "${1:-}" != --if-possible ] || shift

# A cluster that was there before stays; one of ours goes again, however this ends.
tests/cluster/run.sh true 2>/dev/null || trap 'tests/cluster/down.sh >/dev/null || true' EXIT

export IMAGE_PREFIX=registry.local/oiler-backup/postgres-adapter-
# Packed and not built in the images: that would be a quarter of an hour, and is what `make images-test` tries.
"$cargo" build --locked --workspace --bins --test e2e
target=$("$cargo" metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
scripts/images/base.sh debian
PROGRAMS=$target/debug POSTGRES=debian scripts/images/build.sh
scripts/images/servers.sh
make --no-print-directory cluster >&2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter
tests/cluster/import-images.sh "$cache"/images/{scheduler,backuper,restorer,e2e-postgres,e2e-versitygw}.tar >/dev/null
E2E_OWN_CLUSTER=1 tests/cluster/run.sh "${tests[@]}" "$@"
