#!/bin/sh
# Hands what a client needs to a user of the host: $MOSAIC_USER owns the files in /client, which is
# $MOSAIC_CLIENT outside. It ends when that is done.
set -eu
trap 'exit 143' TERM INT
umask 077

given=/var/lib/mosaic-client
tries=120 # seconds: far more than a hub takes to make them
until [ -s "$given/token" ] && [ -s "$given/ca.crt" ]; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { echo "the hub has made no token" >&2; exit 1; }
    sleep 1
done

cp "$given/ca.crt" "$given/token" /client/
cat >/client/env <<ENV
export MOSAIC_ENDPOINT=https://localhost:$MOSAIC_PORT
export MOSAIC_CA='$MOSAIC_CLIENT/ca.crt'
export MOSAIC_TOKEN_FILE='$MOSAIC_CLIENT/token'
ENV
chown -R "$MOSAIC_USER" /client
chmod 0700 /client
echo "for clients on this machine: . $MOSAIC_CLIENT/env"
