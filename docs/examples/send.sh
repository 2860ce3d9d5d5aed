#!/bin/sh
# Sends a command: send.sh HOST PORT SITE KEY_FILE KEY_ID VERB TARGET PARAMS
set -eu
host=$1 port=$2 site=$3 key=$4 key_id=$5 verb=$6 target=$7 params=$8
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
id=$(openssl rand -hex 16) now=$(date +%s) work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

header=$(printf '{"alg":"EdDSA","kid":"%s"}' "$key_id" | base64url)
claims=$(printf '{"jti":"%s","aud":"%s","iat":%d,"exp":%d,"verb":"%s","target":%s,"params":%s}' \
    "$id" "$site" "$now" "$((now + 60))" "$verb" "$target" "$params" | base64url)
printf %s "$header.$claims" >"$work/signed"
openssl pkeyutl -sign -rawin -inkey "$key" -in "$work/signed" -out "$work/signature"
printf %s "$header.$claims.$(base64url <"$work/signature")" >"$work/command"

mosquitto_pub -h "$host" -p "$port" -V 5 -q 1 -D publish message-expiry-interval 60 \
    -t "stoker/v1/$site/cmd/$id" -f "$work/command"
mosquitto_sub -h "$host" -p "$port" -V 5 -q 1 -W 60 -t "stoker/v1/$site/node/+/cmd/$id/state"
