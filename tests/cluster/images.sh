# The two images that the cluster itself needs, as docker archives made by hand, since each holds
# one static program and nothing else: to be sourced after cluster.sh.

# one_program_image ARCHIVE NAME PROGRAM: the program lies at the top and is what the image runs.
one_program_image() (
    set -e
    archive=$1 name=$2 program=$3
    work=$archive.partial
    rm -rf "$work"
    mkdir -p "$work/files"
    cp "$program" "$work/files/"
    fixed=(--sort=name --owner=0 --group=0 --numeric-owner --mtime=@0)
    tar "${fixed[@]}" -C "$work/files" -cf "$work/layer.tar" .
    layer=$(sha256sum "$work/layer.tar" | cut -d ' ' -f 1)
    case $(uname -m) in
        x86_64) architecture=amd64 ;;
        aarch64) architecture=arm64 ;;
        *) architecture=$(uname -m) ;;
    esac
    cat >"$work/config.json" <<J
{"architecture":"$architecture","os":"linux","created":"1970-01-01T00:00:00Z",
 "config":{"Entrypoint":["/$(basename "$program")"]},
 "rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
J
    echo "[{\"Config\":\"config.json\",\"RepoTags\":[\"$name\"],\"Layers\":[\"layer.tar\"]}]" >"$work/manifest.json"
    tar "${fixed[@]}" -C "$work" -cf "$work/archive.tar" manifest.json config.json layer.tar
    mv "$work/archive.tar" "$archive"
    rm -rf "$work"
)

# import NAME PROGRAM: into containerd, unless it has the image.
import() {
    local name=$1 program=$2 archive
    [ -z "$(containers images ls -q "name==$name")" ] || return 0
    archive=$state/$(basename "$program").tar
    one_program_image "$archive" "$name" "$program"
    containers images import "$archive" >>"$state/log/images" 2>&1
    rm "$archive"
}
