#!/usr/bin/env bash
# Writes what deploy/ has of the chart, for those who use no Helm: the manifests, and for a Prometheus
# and a Grafana without operators the alerts and the dashboard. With --check, says whether it is up to
# date.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
helm=$("$here/scripts/tools/go-program.sh" helm 2>/dev/null | tail -1)/helm
chart=$here/charts/postgres-adapter

# A chart's, for a release of its name in a namespace.
manifests() {
    cat <<R
# Rendered from charts/$1 by \`make manifests\`; change that and not this.
#   kubectl create namespace $2
#   kubectl apply -f $1.yaml
# The network policies let in the namespace oiler-backup-system, and the namespace monitoring to the metrics.
R
    "$helm" template "$1" "$here/charts/$1" --namespace "$2" --no-hooks |
        grep -v -e '^# Source: ' -e 'helm.sh/chart:' -e 'app.kubernetes.io/managed-by: Helm'
}

# Of a file below deploy/, what it should be.
rendered() {
    case $1 in
        kubernetes/postgres-adapter.yaml) manifests postgres-adapter oiler-backup-system ;;
        kubernetes/postgres-db-operator.yaml) manifests postgres-db-operator postgres-db-operator ;;
        monitoring/alerts.yaml | monitoring/dashboard.json) cat "$chart/files/${1#monitoring/}" ;;
    esac
}

mkdir -p "$here/deploy/monitoring"
for file in kubernetes/postgres-{adapter,db-operator}.yaml monitoring/alerts.yaml monitoring/dashboard.json; do
    if [ "${1:-}" = --check ]; then
        diff <(rendered $file) "$here/deploy/$file" >&2 || { echo "manifests.sh: run make manifests" >&2; exit 1; }
    else
        rendered $file >"$here/deploy/$file"
    fi
done
