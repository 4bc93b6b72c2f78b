#!/usr/bin/env bash
# Renders deploy/kubernetes/postgres-adapter.yaml from the chart, for those who use no Helm; with
# --check, says whether it is up to date.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
helm=$("$here/scripts/tools/go-program.sh" helm 2>/dev/null | tail -1)/helm
file=$here/deploy/kubernetes/postgres-adapter.yaml

render() {
    cat <<'R'
# Rendered from charts/postgres-adapter by `make manifests`; change that and not this.
#   kubectl create namespace oiler-backup-system
#   kubectl apply -f postgres-adapter.yaml
R
    "$helm" template postgres-adapter "$here/charts/postgres-adapter" --namespace oiler-backup-system --no-hooks |
        grep -v -e '^# Source: ' -e 'helm.sh/chart:' -e 'app.kubernetes.io/managed-by: Helm'
}

if [ "${1:-}" = --check ]; then
    diff <(render) "$file" >&2 || { echo "manifests.sh: run make manifests" >&2; exit 1; }
else
    render >"$file"
fi
