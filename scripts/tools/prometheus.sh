#!/usr/bin/env bash
# Prometheus and its promtool from Debian, for the tests of the alerts and of the dashboard: the two
# programs alone, once, outside the repository, with no service installed. Prints their directory last.
set -euo pipefail

bin=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter/bin/prometheus
say() { echo "prometheus.sh: $*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
is_there() { [ -x "$bin/prometheus" ] && [ -x "$bin/promtool" ]; }

if is_there; then
    say "Prometheus is there: $bin"
    echo "$bin"
    exit 0
fi
# One by one: of several names, `command -v` is content with any.
for program in apt-get dpkg-deb flock; do
    command -v "$program" >/dev/null && continue
    say "no $program here: put prometheus and promtool into $bin, then run this again"
    exit 1
done

mkdir -p "$bin"
# One at a time; a second one waits and then finds the programs there.
exec 9>"$bin/.lock"
flock 9
is_there && { echo "$bin"; exit 0; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
say "fetching it from Debian"
as_root apt-get -qq update >&2
# Debian's downloader wants a folder that its own user may write to.
chmod 777 "$folder"
(cd "$folder" && apt-get -qq download prometheus >&2)
dpkg-deb -x "$folder"/prometheus_*.deb "$folder/package"
mv "$folder/package/usr/bin/prometheus" "$folder/package/usr/bin/promtool" "$bin/"
echo "$bin"
