#!/usr/bin/env bash
# Usage: workers.sh FOLDER. Our programs with PostgreSQL 17's clients, for the e2e tests of charts/postgresql, from
# the programs in the folder: registry.local/e2e/workers:v17, whose program is the backuper, and restorer:v17 and
# scheduler:v17 of the same layers.
set -euo pipefail
# shellcheck source=scripts/images/tool.sh
. "$(dirname "$0")/tool.sh"
programs=${1:?usage: workers.sh FOLDER}
mkdir -p "$archives"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in backuper restorer scheduler; do strip -o "$work/$program" "$programs/$program"; done

options=()
[ "$builder" = docker ] || options=(--isolation chroot --layers --format docker)
for stage in workers restorer scheduler; do
    name=registry.local/e2e/$stage:v17
    say "building $name"
    image build "${options[@]}" --file "$repository/tests/e2e-postgresql/Dockerfile.workers" --target "$stage" --tag "$name" "$work" >&2
    archive_image "$name" "$archives/e2e-$stage.tar"
done
