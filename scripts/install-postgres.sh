#!/usr/bin/env bash
# Installs PostgreSQL and the small tools beside it from Debian, unless they are there. No cluster
# of the system's is created, started or touched: demo and tests make their own by initdb.
set -euo pipefail

say() { echo "install-postgres.sh: $*" >&2; }

complete() {
    # A server, its client programs, the contrib extensions, PostGIS, and commands of the base system.
    local command
    for command in zstd cc setpriv xargs; do
        command -v "$command" >/dev/null || return 1
    done
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null &&
        compgen -G '/usr/lib/postgresql/*/bin/pg_dump' >/dev/null &&
        compgen -G '/usr/share/postgresql/*/extension/pgcrypto.control' >/dev/null &&
        compgen -G '/usr/share/postgresql/*/extension/postgis.control' >/dev/null
}

if complete; then
    say "everything is there"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    say "this is not Debian: install PostgreSQL with its contrib extensions and PostGIS, zstd, a C compiler and util-linux, then run this again"
    exit 1
fi

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >&2; }

say "installing from Debian"
apt update
# Debian's package makes and starts a cluster `main`. Its own switch for that must lie there
# before the package comes, and is taken away again.
apt install -y --no-install-recommends postgresql-common
switch=/etc/postgresql-common/createcluster.d/postgres-adapter.conf
as_root mkdir -p "$(dirname "$switch")"
trap 'as_root rm -f "$switch"' EXIT
echo 'create_main_cluster = false' | as_root tee "$switch" >/dev/null
apt install -y --no-install-recommends postgresql postgresql-contrib postgresql-postgis zstd gcc libc6-dev util-linux findutils

complete || { say "Debian's packages are installed, yet something is missing; see above"; exit 1; }
say "done"
