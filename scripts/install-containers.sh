#!/usr/bin/env bash
# Installs from Debian what a one-node Kubernetes cluster needs beside the programs of
# scripts/tools: containerd, runc, CNI plugins and the network tools; and what builds images.
# Only what is missing is installed, and no service of the system's is left running for it.
set -euo pipefail

say() { echo "install-containers.sh: $*" >&2; }

complete() {
    command -v containerd ctr runc ip iptables conntrack nsenter unshare openssl curl cc \
        buildah mmdebstrap debootstrap >/dev/null &&
        [ -x /usr/lib/cni/bridge ] && [ -x /usr/lib/cni/host-local ] && [ -x /usr/lib/cni/portmap ]
}

if complete; then
    say "everything is there"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    say "this is not Debian: install containerd, runc, the CNI plugins (/usr/lib/cni), buildah, mmdebstrap, debootstrap, iproute2, iptables, conntrack, openssl, curl and a C compiler, then run this again"
    exit 1
fi

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >&2; }

# Debian's packages start a containerd of their own; the cluster has its own, with its own state.
# A policy file is Debian's way to keep services from starting. One that is there is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
fi

had_containerd=$(command -v containerd || true)
say "installing from Debian"
apt update
apt install -y --no-install-recommends containerd runc containernetworking-plugins iproute2 iptables \
    conntrack util-linux openssl curl ca-certificates gcc libc6-dev \
    buildah mmdebstrap debootstrap

# Nor is one that only we have asked for to be started with the machine.
if [ -z "$had_containerd" ] && command -v systemctl >/dev/null; then
    as_root systemctl --quiet disable containerd.service
fi

complete || { say "Debian's packages are installed, yet something is missing; see above"; exit 1; }
say "done"
