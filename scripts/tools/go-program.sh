#!/usr/bin/env bash
# Usage: go-program.sh NAME. Builds the one program that tests/tools/NAME/go.mod names as its tool,
# once, outside the repository, in the version that is pinned there. Prints its directory last.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=scripts/tools/go.sh
. "$here/scripts/tools/go.sh"

name=${1:?usage: go-program.sh NAME}
module=$here/tests/tools/$name
package=$(awk '$1 == "tool" { print $2 }' "$module/go.mod")
# The tool's module is the longest required path that its package begins with.
read -r path version < <(awk -v tool="$package" '
    { required = $1 == "require" ? $2 : $1; have = $1 == "require" ? $3 : $2 }
    have ~ /^v[0-9]/ && index(tool "/", required "/") == 1 && length(required) > length(path) { path = required; version = have }
    END { print path, version }' "$module/go.mod")
bin=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter/bin/$name-$version

if [ -x "$bin/$name" ]; then
    say "$name $version is there: $bin"
    echo "$bin"
    exit 0
fi

go=$(require_go)
mkdir -p "$bin"
# One builder at a time; a second one waits and then finds the program there.
exec 9>"$bin/.lock"
flock 9
[ -x "$bin/$name" ] && { echo "$bin"; exit 0; }

# What each program's own build sets, so that it knows its version.
stamp=
case $name in
    helm) stamp="-X $path/internal/version.version=$version" ;;
    grpcurl | kubeconform) stamp="-X main.version=$version" ;;
esac

cd "$module"
# Some of the programs want a newer Go than 1.24: GOTOOLCHAIN=auto fetches it as a module.
export CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS=-mod=readonly
say "building $name $version (a minute or more on two cores)"
go_build "$go" "$package" "$bin/$name" "$stamp"
echo "$bin"
