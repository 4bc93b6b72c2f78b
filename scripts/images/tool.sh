# Which program builds images here. To be sourced; sets `builder`, and gives the function `image`,
# which calls it.

say() { echo "$(basename "$0"): $*" >&2; }
die() { say "$*"; exit 1; }

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter
# shellcheck disable=SC2034 # read by those who source this
archives=${ARCHIVES:-$cache/images}

# A docker client without an engine builds nothing.
if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    builder=docker
elif command -v buildah >/dev/null; then
    builder=buildah
else
    die "neither buildah nor a running docker is here: scripts/install-containers.sh installs buildah on Debian"
fi

# buildah in its own storage, since other programs' storage is theirs. Overlays share what layers
# have in common; where they do not work, every layer is a whole copy.
overlays_work() {
    local probe=$cache/buildah.probe
    mkdir -p "$probe/l" "$probe/u" "$probe/w" "$probe/m"
    unshare --mount sh -c 'mount -t overlay -o "lowerdir=$0/l,upperdir=$0/u,workdir=$0/w" overlay "$0/m"' "$probe" 2>/dev/null
    local works=$?
    rm -rf "$probe"
    return $works
}
driver=vfs
if [ "$builder" = buildah ] && overlays_work; then driver=overlay; fi

image() {
    case $builder in
        docker) docker "$@" ;;
        buildah) buildah --root "$cache/buildah/$driver" --runroot "$cache/buildah/run" --storage-driver $driver "$@" ;;
    esac
}

# archive_image NAME FILE: leaves an image as a docker archive, whole or not at all.
archive_image() {
    rm -f "$2.partial"
    case $builder in
        docker) docker save --output "$2.partial" "$1" ;;
        buildah) image push --quiet "$1" "docker-archive:$2.partial:$1" >/dev/null ;;
    esac
    mv "$2.partial" "$2"
}

# run_in IMAGE FOLDER COMMAND...: in a container that goes again, in which the folder is /mnt.
run_in() {
    local name=$1 folder=$2 container status=0
    shift 2
    case $builder in
        docker) docker run --rm --network none --volume "$folder:/mnt:ro" --entrypoint "$1" "$name" "${@:2}" ;;
        buildah)
            container=$(image from "$name")
            image run --isolation chroot --volume "$folder:/mnt:ro" "$container" -- "$@" || status=$?
            image rm "$container" >/dev/null
            return $status
            ;;
    esac
}
