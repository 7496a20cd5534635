#!/bin/sh
# The hub's container: an identity, what clients need, a connection for each of $MOSAIC_SITES, the hub.
set -eu
. /usr/local/lib/mosaic/peer.sh

data=/var/lib/mosaic
client=/var/lib/mosaic-client

make_identity hub "$data/identity"
show "$data/identity" /peers/hub

# What clients see: a certificate for the name localhost, which is all that compose lets in. It is
# its own authority, and trusted by no one who was not given it.
if [ ! -e "$data/tls" ]; then
    rm -rf "$data/tls.new"
    mosaic keygen --id localhost --out "$data/tls.new" >/dev/null
    rm "$data/tls.new/signing.key" "$data/tls.new/unused" "$data/tls.new/id"
    mv "$data/tls.new" "$data/tls"
fi
cp "$data/tls/tls.crt" "$client/ca.crt"

# Made again where an earlier start was cut off before it had kept it.
if [ ! -s "$client/token" ]; then
    rm -f "$client/token"
    mosaic token revoke --data "$data" --name compose 2>/dev/null || true
    mosaic token create --data "$data" --name compose --role admin --out "$client/token" >/dev/null
fi

for site in $MOSAIC_SITES; do
    pin "$site" "$data/$site.pin"
done
for site in $MOSAIC_SITES; do
    cat <<TOML
[[connection]]
id = "compose-$site"
epoch = 1
state = "active"
site = "$site"
spoke = "spoke-$site"
address = "spoke-$site:7443"
TOML
    cat "$data/$site.pin"
done >"$data/connections.toml"

exec mosaic hub
