#!/usr/bin/env bash
# Usage: e2e.sh [--postgresql] [--if-possible] [TEST...]. The e2e tests of the adapter, or with --postgresql those
# of charts/postgresql. Without KUBECONFIG on a cluster of our own, with images of the programs that all tests run,
# debug builds; it is started, and goes again unless `make cluster` had started it. With KUBECONFIG on that cluster,
# which must be able to pull the images of IMAGE_PREFIX.
# --if-possible: where the machine cannot host a cluster, that is said loudly and is no failure.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
cargo=${CARGO:-cargo}
say() { echo "e2e.sh: $*" >&2; }

target=e2e
if [ "${1:-}" = --postgresql ]; then
    target=e2e-postgresql
    shift
fi
tests=("$cargo" test --locked -p scheduler --test "$target" -- --test-threads=1)
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
was_there=
tests/cluster/run.sh true 2>/dev/null && was_there=yes
[ -n "$was_there" ] || trap 'tests/cluster/down.sh >/dev/null || true' EXIT

cache=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter
export IMAGE_PREFIX=registry.local/oiler-backup/postgres-adapter-

# Nothing of ours is left on a cluster that stays: namespaces, volumes, and the folders behind them.
namespaces=(production e2e-postgresql-adapter e2e-postgresql-single e2e-postgresql-tls e2e-postgresql-pgbackrest e2e-postgresql-store)
clean_postgresql() {
    local volumes=$cache/cluster${OILER_CLUSTER:+-$OILER_CLUSTER}/volumes
    tests/cluster/run.sh kubectl delete namespace "${namespaces[@]}" --ignore-not-found >/dev/null
    tests/cluster/run.sh kubectl delete pv -l e2e=postgresql >/dev/null
    tests/cluster/run.sh kubectl delete storageclass e2e-volumes --ignore-not-found >/dev/null
    rm -rf "$volumes"/e2e-* "$volumes/objects.yaml"
}

# Packed and not built in the images: that would be a quarter of an hour, and is what `make images-test` tries.
"$cargo" build --locked --workspace --bins --test "$target"
folder=$("$cargo" metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
scripts/images/base.sh debian
if [ "$target" = e2e-postgresql ]; then
    scripts/images/base.sh postgresql
    scripts/images/postgresql.sh
    scripts/images/workers.sh "$folder/debug"
    scripts/images/servers.sh
    images=("$cache"/images/{postgresql,e2e-{workers,restorer,scheduler,versitygw}}.tar)
else
    PROGRAMS=$folder/debug POSTGRES=debian scripts/images/build.sh
    scripts/images/servers.sh
    images=("$cache"/images/{scheduler,backuper,restorer,e2e-postgres,e2e-versitygw}.tar)
fi
make --no-print-directory cluster >&2
if [ -n "$was_there" ] && [ "$target" = e2e-postgresql ]; then
    tests/cluster/run.sh kubectl get namespace e2e-servers >/dev/null 2>&1 || namespaces+=(e2e-servers)
    trap clean_postgresql EXIT
fi
tests/cluster/import-images.sh "${images[@]}" >/dev/null
E2E_OWN_CLUSTER=1 tests/cluster/run.sh "${tests[@]}" "$@"
