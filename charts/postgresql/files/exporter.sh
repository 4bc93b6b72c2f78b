#!/bin/sh
# What the container `metrics` runs: the exporter, which reads its password once, and is started again when that changes.
set -eu
sum() { cksum <"$DATA_SOURCE_PASS_FILE"; }
while :; do
    known=$(sum)
    prometheus-postgres-exporter "$@" &
    exporter=$!
    while kill -0 $exporter 2>/dev/null && [ "$(sum)" = "$known" ]; do sleep 5; done
    # It ended by itself: so does the container, and the kubelet starts it again.
    kill $exporter 2>/dev/null || { wait $exporter; exit $?; }
    wait $exporter || true
done
