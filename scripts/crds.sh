#!/usr/bin/env bash
# Writes the definitions of the operator's kinds into the chart, as `scheduler crds` prints them. A test holds one
# against the other.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
"${CARGO:-cargo}" run --quiet --locked --manifest-path "$here/Cargo.toml" --package scheduler -- crds >"$here/charts/postgres-adapter/files/crds.yaml.new"
mv "$here/charts/postgres-adapter/files/crds.yaml.new" "$here/charts/postgres-adapter/files/crds.yaml"
