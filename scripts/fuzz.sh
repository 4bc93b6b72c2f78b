#!/usr/bin/env bash
# Usage: fuzz.sh [SECONDS [TARGET...]]. Lets libFuzzer try to break what reads bytes that others wrote,
# a minute each: tests/fuzz. What it has learnt stays in the cache; what breaks a reader lies in
# tests/fuzz/artifacts, and fails this.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$here"
seconds=${1:-60}
shift || true
[ $# -gt 0 ] || set -- toc blocks script manifest

command -v c++ >/dev/null || { echo "fuzz.sh: libFuzzer is built by a C++ compiler: install g++" >&2; exit 1; }
PATH=$(scripts/tools/cargo-program.sh cargo-fuzz | tail -1):$PATH
corpus=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter/fuzz
# The versions that the programs are built of.
cp Cargo.lock tests/fuzz/Cargo.lock

for target in "$@"; do
    seeds=(tests/archives)
    [ ! -d "tests/fuzz/seeds/$target" ] || seeds+=("tests/fuzz/seeds/$target")
    options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536)
    [ ! -e "tests/fuzz/$target.dict" ] || options+=(-dict="tests/fuzz/$target.dict")
    mkdir -p "$corpus/$target"
    # No sanitizer: there is no unsafe code of ours, and so the toolchain of the programs will do.
    "${CARGO:-cargo}" fuzz run --fuzz-dir tests/fuzz --target-dir "${CARGO_TARGET_DIR:-target}/fuzz" --dev --sanitizer none \
        "$target" "$corpus/$target" "${seeds[@]}" -- "${options[@]}"
done
