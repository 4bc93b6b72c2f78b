# Starts the server on a new cluster, below /data or where the images of PostgreSQL are told to have it; the password
# comes from the environment.
set -eu
data=${PGDATA:-/data/cluster}
beside=$(dirname "$data")
bin=$(echo /usr/lib/postgresql/*/bin)
echo "$POSTGRES_PASSWORD" >"$beside/password"
"$bin/initdb" --pgdata="$data" --username=postgres --pwfile="$beside/password" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync
echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
exec "$bin/postgres" -D "$data" -c listen_addresses='*' -c unix_socket_directories="$beside" -c fsync=off
