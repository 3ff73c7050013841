# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # Some names are for the scripts that source this, some are theirs.
# One PostgreSQL server in a folder, as postgres.sh and replicated.sh know it. The folder is in `dir`,
# which find_home and find_pg_user must have looked at. To be sourced.
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

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

use_binaries() {
    local version
    version=$(cat "$data/PG_VERSION" 2>/dev/null) || version=
    bin=$(find_pg_bin "${version:-*}") ||
        die "PostgreSQL${version:+ $version, which made the data in $data,} is not installed"
}

own_folder() {
    local owner=()
    ((EUID != 0)) || owner=(-o "$pg_uid" -g "$pg_gid")
    install -d -m 700 "${owner[@]}" "$1"
}

# Under another name until complete: an interrupted initdb is simply begun anew. `option` may be
# --throw-away.
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

# What a crashed server leaves: its socket, and a process id that may be another program's by now and
# keeps ours from starting then.
clear_remains() {
    rm -rf "$run"
    own_folder "$run"
    if [[ -f $data/postmaster.pid ]] && kill -0 "$(head -n 1 "$data/postmaster.pid")" 2>/dev/null; then
        rm -f "$data/postmaster.pid"
    fi
}

# The server must not inherit the lock.
start_postgres() { run_as_pg "$bin/pg_ctl" start -s -w -t 120 -D "$data" -l "$run/log" 9>&-; }

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
