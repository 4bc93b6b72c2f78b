#!/usr/bin/env bash
# Builds the three images with buildah or docker, whichever works here, and leaves each as a docker
# archive too. Settings, from the environment:
#   IMAGE_PREFIX     what stands before scheduler, backuper and restorer in their names
#   PROFILE          dist (default), release or dev, of Cargo.toml
#   PROGRAMS         a folder in which the three programs are already: they are packed, and nothing is built
#   POSTGRES         pgdg (default) or debian: whose clients the workers have
#   POSTGRES_MAJORS  with pgdg: which
#   PLATFORMS        several at once, such as linux/amd64,linux/arm64: each image is pushed to the
#                    registry of IMAGE_PREFIX as one manifest list, and no archive is left. Building for
#                    another architecture than the machine's needs its emulation (qemu-user-static).
set -euo pipefail
# shellcheck source=scripts/images/tool.sh
. "$(dirname "$0")/tool.sh"
cd "$repository"

prefix=${IMAGE_PREFIX:-ghcr.io/oiler-backup/postgres-adapter-}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
arguments=(--build-arg "VERSION=$version" --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)"
    --build-arg "PROFILE=${PROFILE:-dist}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -n "${PROGRAMS:-}" ]; then
    # It stands in for the stage that builds them.
    mkdir "$work/programs"
    base=$(sed -n 's/^FROM \(.*debian.*\)$/\1/p' Dockerfile.backuper)
    run_in "$base" "$work" true || die "$base is not there; where no registry answers, \`make base-images\` makes it"
    for program in scheduler backuper restorer; do
        strip -o "$work/programs/$program" "$PROGRAMS/$program" || die "$program is not in $PROGRAMS"
        said=$(run_in "$base" "$work/programs" "/mnt/$program" --version 2>&1) ||
            die "the $program that was built on this machine ($(getconf GNU_LIBC_VERSION)) does not start on $base, most likely since that has an older C library; \`make images\` builds it there: $said"
    done
    arguments+=(--build-context "builder=$work")
fi
workers=(--build-arg "POSTGRES=${POSTGRES:-pgdg}")
[ -z "${POSTGRES_MAJORS:-}" ] || workers+=(--build-arg "POSTGRES_MAJORS=$POSTGRES_MAJORS")

if [ "$builder" = buildah ]; then
    # In a chroot, since the machine may not allow containers to a builder; layers are kept.
    arguments+=(--isolation chroot --layers --format docker)
    if [ -z "${PROGRAMS:-}" ]; then
        # What cargo has downloaded here need not be downloaded there.
        registry=${CARGO_HOME:-$HOME/.cargo}/registry
        cargo fetch --locked --quiet
        arguments+=(--build-arg CARGO_NET_OFFLINE=true --volume "$registry:/root/.cargo/registry")
    fi
fi

# One name for the images of all platforms, in the registry; there is no archive of such a thing.
publish() {
    local name=$1 file=$2
    shift 2
    case $builder in
        docker) docker buildx build --platform "$PLATFORMS" --push "$@" --file "$file" --tag "$name" . ;;
        buildah)
            image manifest rm "$name" >/dev/null 2>&1 || true
            image build --platform "$PLATFORMS" "$@" --file "$file" --manifest "$name" . &&
                image manifest push --all "$name" "docker://$name"
            ;;
    esac
}

mkdir -p "$archives"
for program in scheduler backuper restorer; do
    name=$prefix$program:$version
    began=$SECONDS
    more=()
    [ "$program" = scheduler ] || more=("${workers[@]}")
    say "building $name with $builder"
    if [ -n "${PLATFORMS:-}" ]; then
        publish "$name" "Dockerfile.$program" "${arguments[@]}" "${more[@]}" || die "$name was not published for $PLATFORMS"
        continue
    fi
    image build "${arguments[@]}" "${more[@]}" --file "Dockerfile.$program" --tag "$name" . ||
        die "$name was not built; where no registry answers, \`make base-images\` makes the images that it starts from"
    archive=$archives/$program.tar
    archive_image "$name" "$archive"
    say "$name took $((SECONDS - began)) s, $(du -m "$archive" | cut -f 1) MB as $archive"
done
