#!/usr/bin/env bash
# Usage: workers.sh FOLDER. The workers with PostgreSQL 17's clients, for the e2e tests of charts/postgresql, from
# the programs in the folder: one image, registry.local/e2e/workers:v17.
set -euo pipefail
# shellcheck source=scripts/images/tool.sh
. "$(dirname "$0")/tool.sh"
programs=${1:?usage: workers.sh FOLDER}
mkdir -p "$archives"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in backuper restorer; do strip -o "$work/$program" "$programs/$program"; done

name=registry.local/e2e/workers:v17
options=()
[ "$builder" = docker ] || options=(--isolation chroot --layers --format docker)
say "building $name"
image build "${options[@]}" --file "$repository/tests/e2e-postgresql/Dockerfile.workers" --tag "$name" "$work" >&2
archive_image "$name" "$archives/e2e-workers.tar"
