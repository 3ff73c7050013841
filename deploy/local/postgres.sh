#!/usr/bin/env bash
# A private PostgreSQL cluster in a folder, reachable from this machine only.
#
#   postgres.sh start DIR [--throw-away]   make it if need be, start it, print its DATABASE_URL
#   postgres.sh url DIR                    print its DATABASE_URL; exit code 3 when it does not run
#   postgres.sh stop DIR
#   postgres.sh remove DIR                 stop it and delete its data
#
# --throw-away, for tests: quick and not durable; the URL names the database `postgres` then, else
# `orderhook`, which is made if missing. The port is in DIR/port.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

usage() {
    sed -n 's/^#   //p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# --- The server ----------------------------------------------------------------------------------

# What the cluster was started with last.
throw_away() { grep -qx 'fsync = off' "$data/orderhook.conf"; }
saved_port() { sed -n 's/^port = //p' "$data/orderhook.conf" 2>/dev/null; }

print_url() {
    local database=orderhook
    ! throw_away || database=postgres
    printf 'postgres://postgres@127.0.0.1:%s/%s\n' "$(saved_port)" "$database"
}

configure() {
    {
        echo "listen_addresses = '127.0.0.1'"
        echo "port = $1"
        echo "unix_socket_directories = '$run'"
        if [[ $option == --throw-away ]]; then
            printf '%s\n' 'fsync = off' 'full_page_writes = off' 'synchronous_commit = off' 'max_connections = 300'
        fi
    } | run_as_pg tee "$data/orderhook.conf" >/dev/null
}

# Starts the server on the port of last time, or on another one if that is taken now.
launch() {
    local log=$run/log port output
    port=$(saved_port) || true
    if [[ -z $port ]] || port_taken "$port"; then port=$(free_port); fi
    clear_remains
    for _ in {1..20}; do
        configure "$port"
        run_as_pg rm -f "$log"
        if output=$(start_postgres 2>&1); then
            return
        elif grep -q 'Address already in use' "$log"; then
            port=$(free_port)
        elif grep -q 'still in use' "$log"; then
            sleep 0.5 # Processes of a server that was killed are about to notice it.
        else
            break
        fi
    done
    die "PostgreSQL does not start: $output"$'\n'"$(tail -n 20 "$log" 2>&1)"
}

ensure_database() {
    local psql=(run_as_pg "$bin/psql" -XqAt -v ON_ERROR_STOP=1 -h "$run" -p "$(saved_port)" -U postgres)
    throw_away ||
        [[ $("${psql[@]}" -c "SELECT 1 FROM pg_database WHERE datname = 'orderhook'") == 1 ]] ||
        "${psql[@]}" -c 'CREATE DATABASE orderhook'
}

# --- Commands ------------------------------------------------------------------------------------

start_server() {
    settle
    use_binaries
    [[ -d $data ]] || make_cluster
    server_pid >/dev/null || launch
    ensure_database
    # A new file: the old one may be another user's.
    rm -f "$dir/port"
    saved_port >"$dir/port"
    print_url
}

no_server() {
    say "PostgreSQL does not run in $dir"
    exit 3
}

show_url() {
    if server_pid >/dev/null; then
        print_url
    else
        no_server
    fi
}

remove_cluster() {
    stop_server immediate
    rm -rf "$data" "$data.new" "$run" "$dir/port" "$dir/elsewhere"
    rmdir --ignore-fail-on-non-empty "$home" "$dir" 2>/dev/null || true
}

command=${1-} dir=${2-} option=${3-}
[[ $command =~ ^(start|stop|url|remove)$ && -n $dir && $option =~ ^(--throw-away)?$ ]] || usage
if [[ $command == start ]]; then
    mkdir -p "$dir"
elif [[ ! -d $dir ]]; then
    [[ $command != url ]] || no_server
    exit 0
fi
dir=$(cd "$dir" && pwd -P)
# PostgreSQL's user may not be allowed to stand where the caller does.
cd /
if [[ $command != url ]]; then
    exec 9<"$dir"
    flock 9
fi
find_home
find_pg_user
case $command in
    start) start_server ;;
    stop) stop_server fast ;;
    url) show_url ;;
    remove) remove_cluster ;;
esac
