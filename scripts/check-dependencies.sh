#!/usr/bin/env bash
# Who may link what: docs/architecture.md, never-rules 1 and 2, and one TLS stack for all; and that
# nothing is asked for that no code uses, in a member or in what all of them share.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
bad=0

# tree PACKAGE ARGUMENTS…: one line per crate or feature, without the indentation.
tree() { local package=$1; shift; "$cargo" tree --locked -p "$package" --prefix none "$@" | sed 's/ (\*)$//' | sort -u; }

# forbid PACKAGE EDGES PATTERN WHY
forbid() {
    local found
    found=$(tree "$1" -e "$2" | grep -E "$3" || true)
    if [ -n "$found" ]; then
        printf '%s %s:\n%s\n' "$1" "$4" "$found" >&2
        bad=1
    fi
}

for worker in backuper restorer; do
    forbid "$worker" normal '^(kube|kube-client|kube-core|kube-runtime|k8s-openapi) ' 'links Kubernetes'
    forbid "$worker" normal,features '^tonic feature "(server|router|transport)"' 'links a gRPC server'
    forbid "$worker" normal '^scheduler ' 'knows the scheduler'
done
forbid backuper normal '^restorer ' 'knows the restorer'

for package in backuper restorer scheduler; do
    # A tree that cannot be read has nothing forbidden in it either.
    tree "$package" -e normal | grep '^tokio ' >/dev/null || { echo "cargo tree shows nothing of $package" >&2; exit 1; }
    forbid "$package" normal '^(ring|openssl|openssl-sys|native-tls) |^rustls v0\.(1?[0-9]|2[0-2])\.|^hyper v0\.' 'links a second TLS or HTTP stack'
done

shear=$(scripts/tools/cargo-program.sh cargo-shear | tail -1)/cargo-shear
"$shear" --locked >&2 || bad=1

[ "$bad" = 0 ] && echo "dependencies: as they should be"
exit "$bad"
