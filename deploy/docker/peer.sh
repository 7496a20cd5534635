# Read by hub.sh and spoke.sh: how two of them come to know each other's keys without anybody's hands.
#
# Each makes its identity once, in a volume of its own, and shows the public half in a volume that
# only it may write. Each takes the other's public half once, and keeps it: whoever changes it later
# changes nothing. What is read from another is hexadecimal keys, and never pasted as text.

# The first process of a container gets no signal that it does not ask for.
trap 'exit 143' TERM INT

# make_identity ID FOLDER: makes an identity, whole or not at all.
make_identity() {
    [ -e "$2/id" ] && return
    rm -rf "$2.new"
    # Kept beside the keys, because they are told only once.
    public="$(mosaic keygen --id "$1" --out "$2.new")"
    echo "$public" | grep -v '^#' >"$2.new/public.toml"
    mv "$2.new" "$2"
}

# show FOLDER PLACE: puts the identity's public half where the others look.
show() {
    cp "$1/public.toml" "$2/public.new"
    mv "$2/public.new" "$2/public.toml"
}

# keys_in FILE: its two keys, if that is what it holds.
keys_in() {
    for name in signing_key tls_key; do
        sed -n "s/^\($name = \"[0-9a-f]\{64\}\"\)\$/\1/p" "$1" | head -n 1
    done
}

# pin NAME FILE: keeps the keys that NAME shows, the first time that it shows any.
pin() {
    shown="/peers/$1/public.toml"
    if [ ! -e "$2" ]; then
        echo "waiting for the public keys of $1" >&2
        until [ -e "$shown" ]; do sleep 1; done
        keys_in "$shown" >"$2.new"
        if [ "$(wc -l <"$2.new")" != 2 ]; then
            echo "$1 shows something else than two public keys" >&2
            exit 1
        fi
        mv "$2.new" "$2"
    elif [ -e "$shown" ] && [ "$(keys_in "$shown")" != "$(cat "$2")" ]; then
        echo "WARNING: $1 shows other keys than those pinned in $2, and they are not trusted" >&2
    fi
}
