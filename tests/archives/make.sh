#!/usr/bin/env bash
# Usage: make.sh [MAJOR...]. Makes the archives beside this file anew: each MAJOR's pg_dump, of a server of the same
# major that holds contents.sql. pg_dump 16 is that of a Python package, since no Debian release has one; there is
# none of 14 to be had, whose format is that of 13 and 15.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kept=$("$here/../../scripts/tools/postgres-versions.sh" 2>/dev/null | tail -1)
[ "$(id -u)" = 0 ] || { echo "make.sh: only root may start servers as the user postgres" >&2; exit 1; }

work=$(mktemp -d)
data=
as_postgres() { setpriv --reuid postgres --regid postgres --clear-groups -- env -i HOME="$work" PATH=/usr/bin:/bin TZ=UTC LC_ALL=C.UTF-8 "$@"; }
end() {
    [ -z "$data" ] || as_postgres "$server/pg_ctl" --pgdata "$data" --mode immediate stop >/dev/null 2>&1 || true
    data=
}
trap 'end; rm -rf "$work"' EXIT
chmod 755 "$work"

[ $# -gt 0 ] || set -- 13 15 16 17 18
for major in "$@"; do
    case $major in
        15) server=/usr/lib/postgresql/15/bin client=$server ;;
        16)
            (cd "$work" && pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
                --platform manylinux2014_x86_64 pgserver==0.1.4 && unzip -q pgserver-*.whl && chmod -R a+rX,a+x pgserver/pginstall/bin)
            server=$kept/16/usr/lib/postgresql/16/bin client=$work/pgserver/pginstall/bin
            ;;
        *) server=$kept/$major/usr/lib/postgresql/$major/bin client=$server ;;
    esac
    # 16 knows algorithms beside gzip.
    whole=()
    case $major in
        17) whole=(--compress=zstd) ;;
        18) whole=(--compress=lz4) ;;
    esac
    mkdir "$work/$major" "$work/$major-out"
    chown postgres "$work/$major" "$work/$major-out"
    data=$work/$major
    as_postgres "$server/initdb" --pgdata "$data" --username postgres --auth trust --encoding UTF8 --locale C.UTF-8 >/dev/null
    as_postgres "$server/pg_ctl" --pgdata "$data" --wait --log "$data/log" \
        --options "-c listen_addresses= -c wal_level=logical -c unix_socket_directories=$data" start >/dev/null
    how=(--host "$data" --username postgres)
    psql=(/usr/lib/postgresql/15/bin/psql "${how[@]}" --no-psqlrc --quiet --set ON_ERROR_STOP=1 --output /dev/null)
    as_postgres "${psql[@]}" --command "CREATE ROLE reader" --command "CREATE DATABASE archived"
    as_postgres "${psql[@]}" --dbname archived <"$here/contents.sql"
    as_postgres "$client/pg_dump" "${how[@]}" --format custom --create "${whole[@]}" --file "$data-out/whole" archived
    as_postgres "$client/pg_dump" "${how[@]}" --format custom --compress 0 --file "$data-out/plain" archived
    end
    for kind in whole plain; do cp "$work/$major-out/$kind" "$here/$major-$kind.dump"; done
done
ls -l "$here"
