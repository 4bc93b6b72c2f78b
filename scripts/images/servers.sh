#!/usr/bin/env bash
# The images of the servers that the e2e tests back up and where to: PostgreSQL from Debian, and
# versitygw, an S3 server that people run, from its Go module.
set -euo pipefail
# shellcheck source=scripts/images/tool.sh
. "$(dirname "$0")/tool.sh"
mkdir -p "$archives"

name=registry.local/e2e/postgres:1
options=()
[ "$builder" = docker ] || options=(--isolation chroot --layers --format docker)
say "building $name"
image build "${options[@]}" --file "$repository/tests/e2e/Dockerfile.postgres" --tag "$name" "$repository/tests/e2e" >&2
archive_image "$name" "$archives/e2e-postgres.tar"

versitygw=$("$repository/scripts/tools/go-program.sh" versitygw | tail -1)/versitygw
# shellcheck source=tests/cluster/images.sh
. "$repository/tests/cluster/images.sh"
one_program_image "$archives/e2e-versitygw.tar" registry.local/e2e/versitygw:1 "$versitygw"
