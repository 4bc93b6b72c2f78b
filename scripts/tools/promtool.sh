#!/usr/bin/env bash
# Prometheus' promtool from Debian, for the tests of the alerts: the program alone, once, outside
# the repository, with no server installed. Prints its directory last.
set -euo pipefail

bin=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter/bin/promtool
say() { echo "promtool.sh: $*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if [ -x "$bin/promtool" ]; then
    say "promtool is there: $bin"
    echo "$bin"
    exit 0
fi
# One by one: of several names, `command -v` is content with any.
for program in apt-get dpkg-deb flock; do
    command -v "$program" >/dev/null && continue
    say "no $program here: put promtool into $bin, then run this again"
    exit 1
done

mkdir -p "$bin"
# One at a time; a second one waits and then finds the program there.
exec 9>"$bin/.lock"
flock 9
[ -x "$bin/promtool" ] && { echo "$bin"; exit 0; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
say "fetching it from Debian"
as_root apt-get -qq update >&2
# Debian's downloader wants a folder that its own user may write to.
chmod 777 "$folder"
(cd "$folder" && apt-get -qq download prometheus >&2)
dpkg-deb -x "$folder"/prometheus_*.deb "$folder/package"
mv "$folder/package/usr/bin/promtool" "$bin/promtool"
echo "$bin"
