#!/usr/bin/env bash
# Writes the chart's README from the comments of its values.yaml; with --check, says whether it is
# up to date.
set -euo pipefail
chart=$(cd "$(dirname "$0")/.." && pwd)/charts/postgres-adapter

table() {
    awk '
        /^ *# -- / { sub(/^ *# -- /, ""); help = $0; next }
        /^ *#/ { next }
        /^ *[A-Za-z][A-Za-z0-9_.\/]*:/ {
            match($0, /^ */); depth = RLENGTH / 2
            line = substr($0, RLENGTH + 1)
            key = line; sub(/:.*/, "", key)
            value = line; sub(/^[^:]*: */, "", value)
            path[depth] = key
            name = path[0]
            for (i = 1; i <= depth; i++) name = name "." path[i]
            if (help == "") next
            if (value == "") value = "see values.yaml"
            gsub(/\|/, "\\|", help)
            printf "| `%s` | `%s` | %s |\n", name, value, help
            help = ""
        }
    ' "$chart/values.yaml"
}

readme() {
    cat <<'R'
# postgres-adapter

Installs the PostgreSQL adapter of oiler-backup: a scheduler, and what its workers need.

    helm install postgres-adapter charts/postgres-adapter -n oiler-backup-system --create-namespace

What each setting of the workers means stands in the project's README. A value that is not in this table is
an error.

| value | default | |
|---|---|---|
R
    table
}

if [ "${1:-}" = --check ]; then
    diff <(readme) "$chart/README.md" >&2 || { echo "charts-readme.sh: run scripts/charts-readme.sh" >&2; exit 1; }
else
    readme >"$chart/README.md"
fi
