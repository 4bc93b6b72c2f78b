#!/usr/bin/env bash
# Builds the image of charts/postgresql with buildah or docker, whichever works here, and leaves it as a docker
# archive too. IMAGE_PREFIX is what stands before its name, `postgresql`. Nothing of Rust is in it.
set -euo pipefail
# shellcheck source=scripts/images/tool.sh
. "$(dirname "$0")/tool.sh"
cd "$repository"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
name=${IMAGE_PREFIX:-ghcr.io/oiler-backup/postgres-adapter-}postgresql:$version
options=(--build-arg "VERSION=$version" --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)")
# In a chroot, since the machine may not allow containers to a builder; layers are kept.
[ "$builder" = docker ] || options+=(--isolation chroot --layers --format docker)
mkdir -p "$archives"
began=$SECONDS
say "building $name with $builder"
image build "${options[@]}" --file deploy/images/postgresql/Dockerfile --tag "$name" deploy/images/postgresql >&2 ||
    die "$name was not built; where no registry answers, \`make base-images\` makes the image that it starts from"
archive=$archives/postgresql.tar
archive_image "$name" "$archive"
say "$name took $((SECONDS - began)) s, $(du -m "$archive" | cut -f 1) MB as $archive"
