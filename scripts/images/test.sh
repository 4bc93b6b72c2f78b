#!/usr/bin/env bash
# Builds the three images as their Dockerfiles say, and deploy/Dockerfile.local's of them, and starts
# every program where it then is; unless nothing that goes into them has changed since that succeeded.
# With programs of the profile dev, since the steps are the same and a quarter as long.
set -euo pipefail
# shellcheck source=scripts/images/tool.sh
. "$(dirname "$0")/tool.sh"
cd "$repository"

# What counts is what is in the files, not when they were written.
sum=$(find Dockerfile.* deploy/Dockerfile.local .dockerignore Cargo.toml Cargo.lock proto crates scripts/images -type f -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1)
stamp=$cache/images-test.sum
if [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ]; then
    say "nothing has changed since the images were built and started"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=registry.local/images-test/
env -u PROGRAMS -u PLATFORMS IMAGE_PREFIX=$prefix PROFILE=dev POSTGRES=debian ARCHIVES=$work scripts/images/build.sh
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
contexts=() options=()
for program in scheduler backuper restorer; do
    case $builder in
        docker) contexts+=(--build-context "$program=docker-image://$prefix$program:$version") ;;
        buildah) contexts+=(--build-context "$program=container-image://$prefix$program:$version") ;;
    esac
done
[ "$builder" = docker ] || options=(--isolation chroot --layers --format docker)
image build "${options[@]}" "${contexts[@]}" --file deploy/Dockerfile.local --tag "${prefix}local:$version" deploy

# starts IMAGE PROGRAM
starts() { run_in "$prefix$1:$version" "$work" "$2" --version || die "$2 does not start in the image $1"; }
starts scheduler /scheduler
for worker in backuper restorer; do
    starts $worker /usr/local/bin/$worker
    starts $worker pg_dump
done
for program in scheduler backuper restorer; do starts local /usr/local/bin/$program; done
echo "$sum" >"$stamp"
say "all programs start in their images; $SECONDS s"
