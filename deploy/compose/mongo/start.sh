#!/bin/bash
# A replica set with accounts wants a key that its members share, in a file that only the server may read. It takes
# the characters of base64 and no others, while keys in .env have those of base64url.
set -euo pipefail
umask 077
key_file=${TMPDIR:-/tmp}/replica.key
tr -- '_-' '/+' <<<"$MONGO_REPLICA_KEY" >"$key_file"
chown mongodb:mongodb "$key_file"
exec docker-entrypoint.sh mongod --replSet rs0 --keyFile "$key_file" --bind_ip_all --wiredTigerCacheSizeGB 0.5
