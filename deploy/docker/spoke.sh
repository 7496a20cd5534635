#!/bin/sh
# The container of the spoke of $MOSAIC_SITE: an identity, the connection to the hub, the spoke.
# What the hub may do is the site's own word: /etc/mosaic/grant.toml, read anew at each start.
set -eu
. /usr/local/lib/mosaic/peer.sh

keys=/var/lib/mosaic

make_identity "spoke-$MOSAIC_SITE" "$keys/identity"
show "$keys/identity" "/peers/$MOSAIC_SITE"
pin hub "$keys/hub.pin"
{
    cat <<TOML
[[connection]]
id = "compose-$MOSAIC_SITE"
epoch = 1
state = "active"
hub = "hub"
TOML
    cat "$keys/hub.pin" /etc/mosaic/grant.toml
} >"$keys/connections.toml"

exec mosaic spoke
