#!/usr/bin/env bash
# What the tests' odd PostgreSQL servers need beside Debian's packages: pgbouncer, and a German
# locale. Both once, outside the repository, with no service installed and no locale of the machine's
# own changed. Prints the directory last:
#
#   pgbouncer/usr/sbin/pgbouncer   the program alone
#   locales/                       for LOCPATH: de_DE.UTF-8
set -euo pipefail

# The servers run as the user postgres, who may not look into root's home.
if [ "$(id -u)" = 0 ]; then
    root=/var/cache/postgres-adapter/servers
else
    root=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter/servers
fi
say() { echo "postgres-servers.sh: $*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >&2; }

major=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name initdb -path '*/bin/*' 2>/dev/null |
    cut -d/ -f5 | sort -n | tail -n 1)
[ -n "$major" ] || { say "no PostgreSQL here: run scripts/install-postgres.sh first"; exit 1; }
catalogue=/usr/share/locale/de/LC_MESSAGES/postgres-$major.mo

complete() {
    [ -x "$root/pgbouncer/usr/sbin/pgbouncer" ] && [ -d "$root/locales/de_DE.UTF-8" ] && [ -f "$catalogue" ]
}

if complete; then
    say "everything is there: $root"
    echo "$root"
    exit 0
fi
for program in apt-get dpkg-deb localedef flock; do
    command -v "$program" >/dev/null && continue
    say "no $program here: this is not Debian"
    exit 1
done

as_root mkdir -p "$root"
as_root chown "$(id -u)" "$root"
chmod 755 "$root"
# One at a time; a second one waits and then finds everything there.
exec 9>"$root/.lock"
flock 9
complete && { echo "$root"; exit 0; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Debian's downloader wants a folder that its own user may write to.
chmod 777 "$folder"
fetch() { (cd "$folder" && apt-get -qq download "$1" >&2) && dpkg-deb -x "$folder/$1"_*.deb "$folder/$1"; }

say "fetching pgbouncer and a German locale from Debian"
apt update

if [ ! -x "$root/pgbouncer/usr/sbin/pgbouncer" ]; then
    # Its package would start a service; its libraries start nothing.
    fetch pgbouncer
    libraries=$(dpkg-deb --field "$folder"/pgbouncer_*.deb Depends | tr ',' '\n' | sed 's/[(|].*//; s/ //g' | grep '^lib')
    # shellcheck disable=SC2086 # one word each
    apt install -y --no-install-recommends --no-upgrade $libraries
    rm -rf "$root/pgbouncer"
    mv "$folder/pgbouncer" "$root/pgbouncer"
fi

if [ ! -d "$root/locales/de_DE.UTF-8" ]; then
    fetch locales
    mkdir -p "$root/locales"
    # It warns of what it cannot find of other locales and then says so by its status.
    I18NPATH=$folder/locales/usr/share/i18n localedef -i de_DE -f UTF-8 "$folder/de_DE.UTF-8" >&2 || [ -d "$folder/de_DE.UTF-8" ]
    mv "$folder/de_DE.UTF-8" "$root/locales/de_DE.UTF-8"
fi

if [ ! -f "$catalogue" ]; then
    # Slim images leave out what is not English.
    fetch "postgresql-$major"
    as_root install -D -m 644 "$folder/postgresql-$major$catalogue" "$catalogue"
fi

chmod -R a+rX "$root"
complete || { say "Debian's packages are there, yet something is missing; see above"; exit 1; }
echo "$root"
