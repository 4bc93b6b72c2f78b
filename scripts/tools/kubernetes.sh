#!/usr/bin/env bash
# Builds etcd, kube-apiserver and kube-controller-manager for the tests, once, outside the
# repository. The versions are those of tests/tools/kubernetes/go.mod. Prints the directory last.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
module=$here/tests/tools/kubernetes
version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$module/go.mod")
bin=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter/bin/kubernetes-$version
say() { echo "kubernetes.sh: $*" >&2; }

missing=()
for program in etcd kube-apiserver kube-controller-manager; do
    [ -x "$bin/$program" ] || missing+=("$program")
done
if [ ${#missing[@]} -eq 0 ]; then
    say "Kubernetes $version is there: $bin"
    echo "$bin"
    exit 0
fi

go_is_new_enough() {
    local have
    have=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
    have=${have#go}
    [ "$(printf '%s\n' 1.24 "$have" | sort -V | head -1)" = 1.24 ]
}
find_go() {
    local candidate
    for candidate in go /usr/local/go/bin/go /usr/lib/go-1.2[4-9]/bin/go; do
        if go_is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}
if ! go=$(find_go); then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "no Go 1.24 or newer; asking apt"
        { apt-get update -qq && apt-get install -y -qq golang-go; } >&2 || say "apt did not help"
    fi
    go=$(find_go) || {
        say "Go 1.24 or newer is needed to build the Kubernetes test servers: install it as /usr/local/go (https://go.dev/doc/install) and run this again"
        exit 1
    }
fi

mkdir -p "$bin"
# One builder at a time; a second one waits and then finds everything there.
exec 9>"$bin/.lock"
flock 9

# Kubernetes' own version check reads these; without them it calls itself v0.0.0-master.
minor=${version#v1.} minor=${minor%%.*}
stamp=
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    stamp+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor"
    stamp+=" -X $package.gitTreeState=clean -X $package.gitCommit=0000000000000000000000000000000000000000"
    stamp+=" -X $package.buildDate=1970-01-01T00:00:00Z"
done

cd "$module"
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly
count=0
for program in "${missing[@]}"; do
    count=$((count + 1))
    [ -x "$bin/$program" ] && continue
    case $program in
        etcd) package=go.etcd.io/etcd/server/v3 ;; # a plain install would name it "server"
        *) package=k8s.io/kubernetes/cmd/$program ;;
    esac
    say "building $program of Kubernetes $version ($count of ${#missing[@]}, some minutes each on two cores)"
    began=$SECONDS
    partial=$bin/.$program.partial
    "$go" build -trimpath -ldflags "-s -w$stamp" -o "$partial" "$package" &
    build=$!
    trap 'kill "$build" 2>/dev/null; rm -f "$partial"' EXIT
    while sleep 1 && kill -0 "$build" 2>/dev/null; do
        [ $(((SECONDS - began) % 30)) -ne 0 ] || say "  $program: $((SECONDS - began)) s"
    done
    wait "$build"
    trap - EXIT
    mv "$partial" "$bin/$program"
    say "$program took $((SECONDS - began)) s"
done
echo "$bin"
