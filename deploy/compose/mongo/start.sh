#!/bin/bash
# A replica set with accounts wants a key that its members share, in a file that only the server may read.
set -euo pipefail
umask 077
printf '%s\n' "$MONGO_REPLICA_KEY" >/tmp/replica.key
chown mongodb:mongodb /tmp/replica.key
exec docker-entrypoint.sh mongod --replSet rs0 --keyFile /tmp/replica.key --bind_ip_all --wiredTigerCacheSizeGB 0.5
