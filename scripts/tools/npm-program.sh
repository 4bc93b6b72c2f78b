#!/usr/bin/env bash
# Usage: npm-program.sh NAME. Installs the one program that tests/tools/NAME/package.json names, once,
# outside the repository, in the versions that are pinned there. Prints its directory last.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
say() { echo "npm-program.sh: $*" >&2; }

name=${1:?usage: npm-program.sh NAME}
module=$here/tests/tools/$name
version=$(sed -n "s/.*\"$name\": \"\([0-9.]*\)\".*/\1/p" "$module/package.json" | head -1)
bin=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter/bin/$name-$version

if [ -e "$bin/.complete" ]; then
    say "$name $version is there: $bin"
    echo "$bin"
    exit 0
fi

if ! command -v npm >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "no npm; asking apt"
    { apt-get update -qq && apt-get install -y -qq nodejs npm; } >&2 || say "apt did not help"
fi
command -v npm >/dev/null || {
    say "Node.js with npm is needed to install the tools of the tests: install it and run this again"
    exit 1
}

mkdir -p "$bin"
# One at a time; a second one waits and then finds the program there.
exec 9>"$bin/.lock"
flock 9
[ -e "$bin/.complete" ] && { echo "$bin"; exit 0; }

say "installing $name $version (half a minute or more)"
cp "$module/package.json" "$module/package-lock.json" "$bin/"
(cd "$bin" && npm ci --no-audit --no-fund --ignore-scripts >&2)
# What was killed on the way is not taken for a whole one.
touch "$bin/.complete"
echo "$bin"
