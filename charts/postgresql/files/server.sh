#!/bin/sh
# What the container `pgbackrest` runs: the server that the pods of backups read the data through. It is told of
# certificates that have changed, which it reads once.
set -eu
# Of `*` it takes the addresses of IPv4 alone; of this it takes both families', where the node has both.
PGBACKREST_TLS_SERVER_ADDRESS=0.0.0.0
[ ! -e /proc/net/if_inet6 ] || PGBACKREST_TLS_SERVER_ADDRESS=::
export PGBACKREST_TLS_SERVER_ADDRESS
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
