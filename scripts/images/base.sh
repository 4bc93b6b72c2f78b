#!/usr/bin/env bash
# Usage: base.sh [debian|postgresql]. Makes the images that the Dockerfiles start from out of Debian
# packages, under the names by which the Dockerfiles ask for them, where no registry answers; with
# `debian` only the one that programs are put on, not the one that they are built in; with `postgresql`
# only the one that the database's image starts from. Those that are there are left alone.
set -euo pipefail
# shellcheck source=scripts/images/tool.sh
. "$(dirname "$0")/tool.sh"
command -v mmdebstrap >/dev/null || die "mmdebstrap is needed: scripts/install-containers.sh installs it on Debian"

debian=docker.io/library/debian:bookworm-slim
postgresql=$(sed -n 's/^FROM //p' "$repository/deploy/images/postgresql/Dockerfile")
rust=$(sed -n 's/^FROM \(.*\) AS builder$/\1/p' "$repository/Dockerfile.scheduler")

is_there() {
    case $builder in
        docker) docker image inspect "$1" ;;
        buildah) image inspect --type image "$1" ;;
    esac >/dev/null 2>&1
}

# make NAME TAR [ENV]
make_image() {
    local name=$1 files=$2 path=$3 container
    case $builder in
        docker) docker import --change "ENV PATH=$path" "$files" "$name" >/dev/null ;;
        buildah)
            container=$(image from scratch)
            image add --quiet "$container" "$files" / >/dev/null
            image config --env "PATH=$path" --cmd bash "$container"
            image commit --quiet --rm --format docker "$container" "$name" >/dev/null
            ;;
    esac
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Nothing of a manual is read in an image.
lean=(--variant=minbase --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*'
    --dpkgopt='path-exclude=/usr/share/locale/*')
usual=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# debian_image NAME RELEASE
debian_image() {
    if is_there "$1"; then
        say "$1 is there"
        return
    fi
    say "making $1"
    mmdebstrap --quiet "${lean[@]}" "$2" "$work/debian.tar"
    make_image "$1" "$work/debian.tar" "$usual"
    rm "$work/debian.tar"
}

[ "${1:-}" = postgresql ] || debian_image "$debian" bookworm
[ "${1:-}" = debian ] || debian_image "$postgresql" trixie

if [ -n "${1:-}" ]; then
    :
elif is_there "$rust"; then
    say "$rust is there"
else
    wanted=${rust#*:} wanted=${wanted%%-*}
    have=$(rustc --version | cut -d ' ' -f 2)
    case $have in
        "$wanted".*) ;;
        *) die "the Dockerfiles build with Rust $wanted and this machine has $have: install that (rustup toolchain install $wanted), or let a registry answer" ;;
    esac
    say "making $rust from Debian and this machine's Rust $have"
    mmdebstrap --quiet "${lean[@]}" --include=gcc,libc6-dev,ca-certificates bookworm "$work/rust.tar"
    tar --append --file "$work/rust.tar" --directory "$(rustc --print sysroot)" --owner=0 --group=0 \
        --exclude=./share --transform 's,^\./,./usr/local/rust/,' ./bin ./lib
    make_image "$rust" "$work/rust.tar" "/usr/local/rust/bin:$usual"
fi
