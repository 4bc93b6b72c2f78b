#!/bin/sh
# What the container `pgbackrest` runs: the server that the pods of backups read the data through. It is told of
# certificates that have changed, which it reads once.
set -eu
sum() { cat /run/secrets/pgbackrest-tls/* | cksum; }
known=$(sum)
pgbackrest server &
server=$!
trap 'kill $server 2>/dev/null; wait $server; exit 0' TERM INT
while kill -0 $server 2>/dev/null; do
    now=$(sum)
    if [ "$now" != "$known" ]; then
        kill -HUP $server
        known=$now
    fi
    sleep 5 &
    wait $!
done
# It ended by itself: so does the container, and the kubelet starts it again.
wait $server
