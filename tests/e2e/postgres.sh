# Starts the server on a new cluster below /data; the password comes from the environment.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
echo "$POSTGRES_PASSWORD" >/data/password
"$bin/initdb" --pgdata=/data/cluster --username=postgres --pwfile=/data/password --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync
echo 'host all all all scram-sha-256' >>/data/cluster/pg_hba.conf
exec "$bin/postgres" -D /data/cluster -c listen_addresses='*' -c unix_socket_directories=/data -c fsync=off
