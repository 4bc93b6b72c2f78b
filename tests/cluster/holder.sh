#!/usr/bin/env bash
# Usage: holder.sh STATE. The first process of the cluster's namespaces: arranges the mounts that
# only the cluster sees, then waits, as the program `pause`. Started by up.sh.
set -euo pipefail
state=$1

# What the kubelet mounts into a pod must reach containerd, and nothing of it the machine.
mount --make-rshared /
# Programs that insist on these places write to the cluster's own.
mount -t tmpfs -o mode=755 run /run
mount --bind "$state/log" /var/log
mount --bind "$state/var-lib" /var/lib
exec "$state/pause"
