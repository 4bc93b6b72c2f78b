#!/bin/sh
# What the init container `minio-ca-init` runs: certificates that programs of the pod trust, which are the public
# authorities of the image and the store's own. pgBackRest itself reads the mounted Secret, and so sees a new one at once.
set -eu
into=/etc/ssl/certs
find /usr/share/ca-certificates /usr/local/share/ca-certificates -name '*.crt' -exec awk 1 {} + >$into/ca-certificates.crt
cp /usr/local/share/ca-certificates/minio/ca.crt $into/minio-ca.crt
openssl rehash $into
