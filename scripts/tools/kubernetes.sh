#!/usr/bin/env bash
# Usage: kubernetes.sh [--node]. Builds etcd, kube-apiserver and kube-controller-manager for the
# tests, with --node also what a node needs and kubectl, once, outside the repository. The versions
# are those of tests/tools/kubernetes/go.mod. Prints the directory last.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=scripts/tools/go.sh
. "$here/scripts/tools/go.sh"

module=$here/tests/tools/kubernetes
version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$module/go.mod")
bin=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter/bin/kubernetes-$version

programs=(etcd kube-apiserver kube-controller-manager)
[ "${1-}" != --node ] || programs+=(kube-scheduler kubelet kube-proxy kubectl "$("$module/network-policies/name.sh")")
missing=()
for program in "${programs[@]}"; do
    [ -x "$bin/$program" ] || missing+=("$program")
done
if [ ${#missing[@]} -eq 0 ]; then
    say "Kubernetes $version is there: $bin"
    echo "$bin"
    exit 0
fi

go=$(require_go)
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
# Upstream links the kubelet with cgo. Without it the kubelet shares what the others have compiled,
# which saves minutes, and lacks nothing that a pod of the tests sees.
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly
count=0
for program in "${missing[@]}"; do
    count=$((count + 1))
    [ -x "$bin/$program" ] && continue
    case $program in
        etcd) package=go.etcd.io/etcd/server/v3 ;; # a plain install would name it "server"
        network-policies-*) package=./network-policies ;;
        *) package=k8s.io/kubernetes/cmd/$program ;;
    esac
    say "building $program of Kubernetes $version ($count of ${#missing[@]}, some minutes each on two cores)"
    go_build "$go" "$package" "$bin/$program" "$stamp"
done
echo "$bin"
