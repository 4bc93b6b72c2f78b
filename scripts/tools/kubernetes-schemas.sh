#!/usr/bin/env bash
# Usage: kubernetes-schemas.sh. Fetches the descriptions of Kubernetes' API (OpenAPI) of the versions
# that the chart is checked for, once, outside the repository; each is a file of the Go module
# k8s.io/kubernetes. Prints the directory last; below it, VERSION.json.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=scripts/tools/go.sh
. "$here/scripts/tools/go.sh"

# The oldest one that is supported, the one that the tests run, and the newest.
declare -A sums=(
    [v1.29.15]=h1:hLcyf3XmxtfkubCEmmPX5QVD7lDclXjvEUrJeP283LM=
    [v1.34.10]=h1:mB1KE7E2BonfpnGyim/+csCR5JMAoLsXt2xPXL5+DdY=
    [v1.36.3]=h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o=
)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter/schemas
mkdir -p "$folder"
# One at a time; a second one waits and then finds everything there.
exec 9>"$folder/.lock"
flock 9

for version in "${!sums[@]}"; do
    [ -e "$folder/$version.json" ] && continue
    go=$(require_go)
    say "fetching the schemas of Kubernetes $version"
    # Outside of any module, and without a look at what its go.mod asks for.
    found=$(cd / && GOTOOLCHAIN=auto GOFLAGS=-mod=mod "$go" mod download -json "k8s.io/kubernetes@$version")
    value() { printf '%s\n' "$found" | sed -n "s/^\t\"$1\": \"\(.*\)\",\{0,1\}$/\1/p"; }
    [ "$(value Sum)" = "${sums[$version]}" ] || { say "$version is not what it was: $(value Sum)"; exit 1; }
    cp "$(value Dir)/api/openapi-spec/swagger.json" "$folder/$version.partial"
    mv "$folder/$version.partial" "$folder/$version.json"
done
echo "$folder"
