#!/usr/bin/env bash
# A private PostgreSQL cluster in a folder, reachable from this machine only.
#
#   postgres.sh start DIR [--throw-away]   make it if need be, start it, print its DATABASE_URL
#   postgres.sh status DIR                 print its DATABASE_URL; exit code 3 when it does not run
#   postgres.sh stop DIR
#   postgres.sh remove DIR                 stop it and delete its data
#
# --throw-away, for tests: quick and not durable; the URL names the database `postgres` then, else
# `orderhook`, which is made if missing. The port is in DIR/port.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    sed -n 's/^#   //p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# --- Where the cluster lives and whose it is -----------------------------------------------------

# The folder of the data, the socket and the log: DIR, or where they had to go instead.
find_home() {
    home=$dir
    [[ ! -f $dir/elsewhere ]] || home=$(<"$dir/elsewhere")
    data=$home/data
    run=$home/run
}

# The server runs as the owner of the data; new data belongs to the caller, or to `postgres` if that is
# root. So root can go on with the cluster of an ordinary user.
find_pg_user() {
    pg_uid=$EUID pg_gid=$(id -g)
    if [[ -d $data ]]; then
        pg_uid=$(stat -c %u "$data") pg_gid=$(stat -c %g "$data")
        ((EUID == 0 || EUID == pg_uid)) ||
            die "the cluster in $dir belongs to $(stat -c %U "$data"): use it as root, or remove it as root (sudo make clean-local)"
    elif ((EUID == 0)); then
        id postgres >/dev/null 2>&1 ||
            die "PostgreSQL does not run as root, and there is no user 'postgres' to run it as"
        pg_uid=$(id -u postgres) pg_gid=$(id -g postgres)
    fi
    ((pg_uid != 0)) || die "the data in $data belongs to root, as whom PostgreSQL does not run"
}

# Why the cluster cannot live in DIR; nothing when it can.
unusable() {
    local LC_ALL=C socket=$run/.s.PGSQL.65535
    if [[ $dir == *[\"\'\\\$\`,]* || $dir == *$'\n'* ]]; then
        echo "its name has characters that PostgreSQL's settings do not take"
    elif ((${#socket} > 107)); then
        echo "its name is too long for a socket"
    elif ! run_as_pg test -x "$dir"; then
        echo "PostgreSQL's user may not enter it"
    fi
}

# Data that cannot be in DIR goes to /var/tmp: open to every user, and not in memory.
settle() {
    local why
    why=$(unusable)
    [[ -n $why && $home == "$dir" ]] || return 0
    home=/var/tmp/orderhook-$(printf %s "$dir" | sha256sum | cut -c 1-12)
    mkdir -p "$home"
    [[ -O $home && ! -L $home ]] || die "$home exists and is not ours"
    printf '%s\n' "$home" >"$dir/elsewhere"
    say "PostgreSQL's data is in $home, not in $dir: $why"
    find_home
}

# --- The server ----------------------------------------------------------------------------------

# True if that process is our server: after a crash its number may belong to anything.
is_server() { tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF -- " -D $data "; } 2>/dev/null

# Prints the server's process id; false when it does not run.
server_pid() {
    local pid
    pid=$(head -n 1 "$data/postmaster.pid" 2>/dev/null) && is_server "$pid" && echo "$pid"
}

# What the cluster was started with last.
throw_away() { grep -qx 'fsync = off' "$data/orderhook.conf"; }
saved_port() { sed -n 's/^port = //p' "$data/orderhook.conf" 2>/dev/null; }

print_url() {
    local database=orderhook
    ! throw_away || database=postgres
    printf 'postgres://postgres@127.0.0.1:%s/%s\n' "$(saved_port)" "$database"
}

own_folder() {
    local owner=()
    ((EUID != 0)) || owner=(-o "$pg_uid" -g "$pg_gid")
    install -d -m 700 "${owner[@]}" "$1"
}

# Under another name until complete: an interrupted initdb is simply begun anew.
make_cluster() {
    local new=$home/data.new output
    local options=(--encoding=UTF8 --locale=C.UTF-8 --lc-messages=C --auth=trust --username=postgres)
    [[ $option != --throw-away ]] || options+=(--no-sync)
    rm -rf "$new"
    own_folder "$new"
    output=$(run_as_pg "$bin/initdb" "${options[@]}" -D "$new" 2>&1) || die "initdb failed: $output"
    echo "include 'orderhook.conf'" | run_as_pg tee -a "$new/postgresql.conf" >/dev/null
    mv "$new" "$data"
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
    # What a crashed server leaves: its socket, and a process id that may be another program's by now and
    # keeps ours from starting then.
    rm -rf "$run"
    own_folder "$run"
    if [[ -f $data/postmaster.pid ]] && kill -0 "$(head -n 1 "$data/postmaster.pid")" 2>/dev/null; then
        rm -f "$data/postmaster.pid"
    fi
    for _ in {1..20}; do
        configure "$port"
        run_as_pg rm -f "$log"
        # The server must not inherit the lock.
        if output=$(run_as_pg "$bin/pg_ctl" start -s -w -t 120 -D "$data" -l "$log" 2>&1 9>&-); then
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

use_binaries() {
    local version
    version=$(cat "$data/PG_VERSION" 2>/dev/null) || version=
    bin=$(find_pg_bin "${version:-*}") ||
        die "PostgreSQL${version:+ $version, which made the data in $data,} is not installed"
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

stop_server() {
    local mode=$1 pid
    pid=$(server_pid) || return 0
    use_binaries
    run_as_pg "$bin/pg_ctl" stop -s -m "$mode" -t 30 -D "$data" ||
        run_as_pg "$bin/pg_ctl" stop -s -m immediate -t 10 -D "$data"
    # The server deletes its pid file a moment before it ends.
    for _ in {1..50}; do
        is_server "$pid" || return 0
        sleep 0.1
    done
    die "PostgreSQL (process $pid) does not end"
}

no_server() {
    say "PostgreSQL does not run in $dir"
    exit 3
}

show_status() {
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
[[ $command =~ ^(start|stop|status|remove)$ && -n $dir && $option =~ ^(--throw-away)?$ ]] || usage
if [[ $command == start ]]; then
    mkdir -p "$dir"
elif [[ ! -d $dir ]]; then
    [[ $command != status ]] || no_server
    exit 0
fi
dir=$(cd "$dir" && pwd -P)
# PostgreSQL's user may not be allowed to stand where the caller does.
cd /
if [[ $command != status ]]; then
    exec 9<"$dir"
    flock 9
fi
find_home
find_pg_user
case $command in
    start) start_server ;;
    stop) stop_server fast ;;
    status) show_status ;;
    remove) remove_cluster ;;
esac
