#!/usr/bin/env bash
# Usage: cargo-program.sh NAME. Builds one program of crates.io that `make` calls, once, outside the
# repository, in the version that is pinned here. Prints its directory last.
set -euo pipefail

declare -A versions=(
    # cargo-machete reads less, and knows nothing of dependencies of the workspace. Newer ones want Rust 1.98.
    [cargo-shear]=1.9.1
    [cargo-fuzz]=0.13.2
)
say() { echo "cargo-program.sh: $*" >&2; }

name=${1:?usage: cargo-program.sh NAME}
version=${versions[$name]:?no version of $name is pinned here}
bin=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter/bin/$name-$version

if [ -x "$bin/$name" ]; then
    say "$name $version is there: $bin"
    echo "$bin"
    exit 0
fi

mkdir -p "$bin"
# One builder at a time; a second one waits and then finds the program there.
exec 9>"$bin/.lock"
flock 9
[ -x "$bin/$name" ] && { echo "$bin"; exit 0; }

# Nothing of what it is built from is needed again, and nothing goes into the project's own target.
# To optimise them would take longer than they ever run.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say "building $name $version"
(cd "$work" && "${CARGO:-cargo}" install --quiet --locked --debug --config profile.dev.debug=false --no-track \
    --target-dir "$work/target" --root "$work" "$name@$version" >&2)
# The target appears whole or not at all.
mv "$work/bin/$name" "$bin/.$name.partial"
mv "$bin/.$name.partial" "$bin/$name"
say "$name took $SECONDS s"
echo "$bin"
