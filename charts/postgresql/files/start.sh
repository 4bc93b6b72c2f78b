#!/bin/sh
# What the container `postgresql` runs, under dumb-init: lays down what Patroni needs before it starts, and becomes it.
set -eu

say() { echo "start.sh: $*" >&2; }

major=$(postgres --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
if [ -s "$PGDATA/PG_VERSION" ] && [ "$(cat "$PGDATA/PG_VERSION")" != "$major" ]; then
    say "the data in $PGDATA is of PostgreSQL $(cat "$PGDATA/PG_VERSION") and this image has $major, which cannot read it: go back to an image of $(cat "$PGDATA/PG_VERSION"), or move the data by dump and restore; nothing was changed"
    exit 1
fi

# pg_control is the last that a copy of the primary gets. A copy without it was cut off, and Patroni would try to start
# it for ever; there is nothing in it that the primary has not. What has no backup_label is no copy, and a person's to look at.
if [ -s "$PGDATA/PG_VERSION" ] && [ ! -e "$PGDATA/global/pg_control" ]; then
    if [ -e "$PGDATA/backup_label" ]; then
        say "$PGDATA is a copy that was cut off: it is made anew"
        rm -rf "$PGDATA"
    else
        say "$PGDATA has no global/pg_control, without which PostgreSQL reads none of it: it is kept as $PGDATA.broken-$(date +%s), and the pod begins without data"
        mv "$PGDATA" "$PGDATA.broken-$(date +%s)"
    fi
fi

# Patroni writes these anew when PostgreSQL starts, but recovery from a crash comes before that, and fails without them.
printf "include '/etc/patroni/postgresql.conf'\n" >/etc/postgresql/postgresql.conf
printf 'local all all trust\n' >/etc/postgresql/pg_hba.conf
: >/etc/postgresql/pg_ident.conf

# The certificate of Patroni's API names the pod's address, so each pod makes its own from the release's authority.
state=/run/patroni
umask 077
openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 3650 \
    -CA /run/secrets/postgresql/ca.crt -CAkey /run/secrets/postgresql/ca.key -subj "/CN=$POD_NAME" \
    -addext "subjectAltName=IP:$POD_IP,IP:127.0.0.1" -addext basicConstraints=critical,CA:false \
    -keyout "$state/rest.key" -out "$state/rest.crt" 2>"$state/openssl.log" || {
    say "the certificate of Patroni's API was not made; see the Secret with ca.crt and ca.key: $(tail -1 "$state/openssl.log")"
    exit 1
}
if [ -n "${PGBACKREST_STANZA:-}" ]; then
    mkdir -p "$(dirname "$PGDATA")/pgbackrest-spool"
    python3 /scripts/pgbackrest.py keys
fi
python3 /scripts/settings.py render
# The first pod makes the cluster; without data, the others wait until there is one to be cloned.
[ -s "$PGDATA/PG_VERSION" ] || python3 /scripts/settings.py wait
exec patroni "$state/patroni.yaml"
