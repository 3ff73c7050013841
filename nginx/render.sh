#!/bin/sh
# Renders nginx's configuration for a pool of orderhook nodes.
#
#   render.sh               print what belongs into the http block of the machine's nginx
#   render.sh --prefix DIR  write DIR/nginx.conf for an nginx of its own, which any user may run:
#                           nginx -c DIR/nginx.conf
#
# Settings, as environment variables:
#
#   ORDERHOOK_NGINX_NODES        hook listeners of the nodes: '10.0.0.11:8080 10.0.0.12:8080'
#   ORDERHOOK_NGINX_ALLOW        who may send hooks, addresses and networks: '203.0.113.0/24'; or 'all'
#   ORDERHOOK_NGINX_LISTEN       [0.0.0.0:443]
#   ORDERHOOK_NGINX_CERTIFICATE  PEM file, with the intermediate ones; without it there is no TLS, and
#   ORDERHOOK_NGINX_KEY          only a loopback address may be listened on
#   ORDERHOOK_ANSWER_DEADLINE    that of the nodes, of which nginx's time limits are made [2s]
#   ORDERHOOK_NGINX_RATE         hooks per second of one source address before it is answered 429 [2000]
#   ORDERHOOK_NGINX_LOG          [/var/log/nginx/orderhook.log, or DIR/orderhook.log]
#   ORDERHOOK_NGINX_SCRIPT       where order_key.js lies [next to this script]
#   ORDERHOOK_NGINX_MODULES      for --prefix: where nginx's modules lie [/usr/lib/nginx/modules]
#   ORDERHOOK_NGINX_WORKERS      for --prefix: processes [auto]
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)

die() {
    printf 'render.sh: %s\n' "$*" >&2
    exit 1
}

# Dies unless the whole of $2 matches the extended regular expression $3; $1 says what it is.
must_match() {
    if [ "$(printf '%s' "$2" | wc -l)" -ne 0 ] || ! printf '%s\n' "$2" | grep -Eqx -e "$3"; then
        die "$1 is wrong: '$2'"
    fi
}

# Prints the first of these folders that is there, or the last one.
first_folder() {
    for folder in "$@"; do
        [ ! -d "$folder" ] || break
    done
    printf '%s\n' "$folder"
}

# What can stand in quotes in nginx's configuration, in a pattern of file names, and in a replacement of
# sed.
path_characters="/[^]\"'\$|&\\\\{};#*?[]*"

# --- Settings ------------------------------------------------------------------------------------

prefix=
case $# in
    0) ;;
    2)
        [ "$1" = --prefix ] || die "unknown option $1"
        prefix=$2
        must_match '--prefix' "$prefix" "$path_characters"
        ;;
    *) die 'usage: render.sh [--prefix DIR]' ;;
esac

nodes=${ORDERHOOK_NGINX_NODES-}
allow=${ORDERHOOK_NGINX_ALLOW-}
listen=${ORDERHOOK_NGINX_LISTEN:-0.0.0.0:443}
certificate=${ORDERHOOK_NGINX_CERTIFICATE-}
key=${ORDERHOOK_NGINX_KEY-}
deadline=${ORDERHOOK_ANSWER_DEADLINE:-2s}
rate=${ORDERHOOK_NGINX_RATE:-2000}
log=${ORDERHOOK_NGINX_LOG:-${prefix:-/var/log/nginx}/orderhook.log}
script=${ORDERHOOK_NGINX_SCRIPT:-$here/order_key.js}
modules=${ORDERHOOK_NGINX_MODULES:-$(first_folder /usr/lib64/nginx/modules /usr/lib/nginx/modules)}
workers=${ORDERHOOK_NGINX_WORKERS:-auto}

address='([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])'
[ -n "$nodes" ] || die 'ORDERHOOK_NGINX_NODES names no node'
[ -n "$allow" ] || die "ORDERHOOK_NGINX_ALLOW names nobody who may send hooks ('all' for everybody)"
must_match ORDERHOOK_NGINX_LISTEN "$listen" "$address:[0-9]{1,5}"
must_match ORDERHOOK_ANSWER_DEADLINE "$deadline" '[1-9][0-9]{0,5}(ms|s)'
must_match ORDERHOOK_NGINX_RATE "$rate" '[1-9][0-9]{0,6}'
must_match ORDERHOOK_NGINX_LOG "$log" "$path_characters"
must_match ORDERHOOK_NGINX_SCRIPT "$script" "$path_characters"
must_match ORDERHOOK_NGINX_MODULES "$modules" "$path_characters"
must_match ORDERHOOK_NGINX_WORKERS "$workers" 'auto|[1-9][0-9]?'

# --- Time limits, in milliseconds ----------------------------------------------------------------

case $deadline in
    *ms) deadline_ms=${deadline%ms} ;;
    *) deadline_ms=$((${deadline%s} * 1000)) ;;
esac
connect_ms=100
# From one piece of a body that a node takes to the next one; it all fits into the sockets' buffers.
send_ms=100
# A node answers at its deadline at the latest, and must have been heard by then.
read_ms=$((deadline_ms + 150))
# The last moment at which another node is tried: a try that ran into its time limit was the first one.
next_ms=$((connect_ms + read_ms + 50))
# Until then the nodes that are passed over may be asked after all, with all the time once more: the map of
# $request_time in the template.
anew_ms=200
worst_ms=$((anew_ms + next_ms + connect_ms + send_ms + read_ms))
# SM waits 5 s; the rest is for the ways to it and back.
[ "$worst_ms" -le 4850 ] ||
    die "with ORDERHOOK_ANSWER_DEADLINE=$deadline all tries take up to $worst_ms ms, and SM waits 5 s: 2s is the most"

# --- Parts that repeat ---------------------------------------------------------------------------

# Words are split on purpose, never expanded to names of files.
set -f

node_lines() {
    for node in $nodes; do
        must_match 'a node of ORDERHOOK_NGINX_NODES' "$node" "$address:[0-9]{1,5}" >&2
        printf '    server %s %s;\n' "$node" "$1"
    done
}

allow_lines() {
    for source in $allow; do
        must_match 'a source of ORDERHOOK_NGINX_ALLOW' "$source" 'all|[0-9.]+(/[0-9]{1,2})?|[0-9A-Fa-f:.]+(/[0-9]{1,3})?'
        printf '    allow %s;\n' "$source"
    done
}

listen_lines() {
    if [ -z "$certificate$key" ]; then
        case ${listen%:*} in
            127.* | localhost | '[::1]') ;;
            *) die "without ORDERHOOK_NGINX_CERTIFICATE only a loopback address may be listened on, not $listen" ;;
        esac
        printf '    listen %s;\n' "$listen"
        return
    fi
    must_match ORDERHOOK_NGINX_CERTIFICATE "$certificate" "$path_characters"
    must_match ORDERHOOK_NGINX_KEY "$key" "$path_characters"
    printf '    %s;\n' "listen $listen ssl" "ssl_certificate \"$certificate\"" "ssl_certificate_key \"$key\"" \
        'ssl_protocols TLSv1.2 TLSv1.3' \
        'ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20' \
        'ssl_session_cache shared:orderhook_tls:1m' \
        'ssl_session_timeout 1h' \
        'ssl_session_tickets off'
}

# --- Rendering -----------------------------------------------------------------------------------

render_server() {
    # A part that is wrong ends the script: in an assignment its exit code counts.
    conditional=$(node_lines 'max_fails=3 fail_timeout=0')
    unconditional=$(node_lines 'max_fails=0')
    sources=$(allow_lines)
    listening=$(listen_lines)
    while IFS= read -r line; do
        case $line in
            @NODES@) printf '%s\n' "$conditional" ;;
            @NODES_UNCONDITIONALLY@) printf '%s\n' "$unconditional" ;;
            @ALLOW@) printf '%s\n' "$sources" ;;
            @LISTEN@) printf '%s\n' "$listening" ;;
            *) printf '%s\n' "$line" ;;
        esac
    done <"$here/orderhook.conf.template" | sed \
        -e "s|@SCRIPT@|$script|; s|@LOG@|$log|" \
        -e "s|@RATE@|$rate|; s|@BURST@|$((rate * 2))|" \
        -e "s|@DEADLINE_MS@|$deadline_ms|; s|@WORST_MS@|$worst_ms|" \
        -e "s|@CONNECT_MS@|$connect_ms|; s|@SEND_MS@|$send_ms|; s|@READ_MS@|$read_ms|; s|@NEXT_MS@|$next_ms|"
}

render_main() {
    sed -e "s|@PREFIX@|$prefix|g; s|@MODULES@|$modules|; s|@WORKERS@|$workers|" "$here/nginx.conf.template"
}

server=$(render_server)
if [ -z "$prefix" ]; then
    printf '%s\n' "$server"
else
    mkdir -p "$prefix"
    printf '%s\n' "$server" >"$prefix/orderhook.conf"
    render_main >"$prefix/nginx.conf"
fi
