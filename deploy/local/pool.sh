#!/usr/bin/env bash
# `make pool`: NODES nodes (3 unless told) behind nginx, on this machine only. They use the database of
# DATABASE_URL, which is brought to the current schema, or else a private PostgreSQL primary with a
# synchronous standby. ORDERHOOK_... variables of the caller reach the nodes, and nginx/render.sh.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=serve.sh
source "$(dirname "${BASH_SOURCE[0]}")/serve.sh"

database_dir=$repo/.local/pool-database
database_script=$here/replicated.sh
nodes=${NODES:-3}
[[ $nodes =~ ^[1-9]$ ]] || die "NODES must be 1 to 9"
[[ ${DEMO_SERVE_SECONDS-} =~ ^[0-9]*$ ]] || die "DEMO_SERVE_SECONDS must be a whole number of seconds"
export ORDERHOOK_CLIENT_TOKENS=${ORDERHOOK_CLIENT_TOKENS:-$token}
token=${ORDERHOOK_CLIENT_TOKENS%%,*}

open_database() {
    if [[ -n ${DATABASE_URL-} ]]; then
        say "using the database of DATABASE_URL"
        work=$repo/.local/pool-elsewhere
        lock_folder "$work"
        stage "$orderhook" migrate
    else
        work=$repo/.local/pool
        lock_local
        start_database
        fill_database
    fi
    # New files: the old ones may be another user's.
    rm -rf "$work"/{nginx,node-*.log}
    mkdir -p "$work"
}

# A node that ends is started again, as a service manager would: kill one, and look what becomes of it.
keep_node() {
    local code
    export ORDERHOOK_NODE=$1 ORDERHOOK_HOOK_ADDR=$2 ORDERHOOK_OPS_ADDR=$3
    while true; do
        code=0
        setpriv --pdeathsig TERM "$orderhook" serve >>"$work/$1.log" 2>&1 || code=$?
        say "$1 ended with exit code $code, starting it again"
        sleep 0.5
    done
}

start_nodes() {
    local number hooks operations
    hook_addresses=() ops_addresses=()
    for ((number = 1; number <= nodes; number++)); do
        hooks=127.0.0.1:$((8100 + number)) operations=127.0.0.1:$((8200 + number))
        choose_address hooks "$hooks"
        choose_address operations "$operations"
        hook_addresses+=("$hooks") ops_addresses+=("$operations")
        start keep_node "node-$number" "$hooks" "$operations"
    done
    for ops_url in "${ops_addresses[@]/#/http://}"; do
        service=$child
        wait_until_ready
    done
    ops_url=http://${ops_addresses[0]}
}

start_nginx() {
    local program
    program=$(find_nginx)
    choose_address ORDERHOOK_NGINX_LISTEN 127.0.0.1:8080
    ORDERHOOK_NGINX_NODES=${hook_addresses[*]} ORDERHOOK_NGINX_ALLOW=${ORDERHOOK_NGINX_ALLOW:-127.0.0.1 ::1} \
        "$repo/nginx/render.sh" --prefix "$work/nginx"
    "$program" -t -q -c "$work/nginx/nginx.conf"
    start setpriv --pdeathsig TERM "$program" -c "$work/nginx/nginx.conf" -g 'daemon off;'
    service=$child
    for _ in {1..100}; do
        ! port_taken "${ORDERHOOK_NGINX_LISTEN##*:}" "${ORDERHOOK_NGINX_LISTEN%:*}" || break
        kill -0 "$service" 2>/dev/null || die "nginx ended while starting, see $work/nginx/error.log"
        sleep 0.1
    done
    hook_url=http${ORDERHOOK_NGINX_CERTIFICATE:+s}://$ORDERHOOK_NGINX_LISTEN
}

print_nodes() {
    local index
    for index in "${!ops_addresses[@]}"; do
        printf '  node-%s      hooks http://%s, its page http://%s/\n' \
            "$((index + 1))" "${hook_addresses[index]}" "${ops_addresses[index]}"
    done
    printf '  logs        %s\n\n' "${work#"$repo"/}"
    [[ -n ${database_used-} ]] || return 0
    cat <<TEXT
Kill the primary database, and make the standby the primary; then have the old one join again, as the standby:

${database_script#"$repo"/} kill ${database_dir#"$repo"/}
${database_script#"$repo"/} promote ${database_dir#"$repo"/}
${database_script#"$repo"/} rejoin ${database_dir#"$repo"/} pg1
${database_script#"$repo"/} status ${database_dir#"$repo"/}

TEXT
}

supervise
cd "$repo"
"$here/setup.sh" nginx
build
open_database
say "starting $nodes nodes and nginx"
start_nodes
start_nginx
print_addresses
print_nodes
keep_serving
