#!/usr/bin/env bash
# A private PostgreSQL primary with synchronous standbys, reachable from this machine only: the servers
# pg1, pg2... in DIR/pg1, DIR/pg2... It does by hand what a failover manager does by itself
# (deploy/failover has one), so that every step of a failover can be tried and tested.
#
#   replicated.sh start DIR [--servers N] [--throw-away]
#                                   make what is missing, start everything, print the DATABASE_URL;
#                                   pg1 and N - 1 standbys, 2 servers unless told
#   replicated.sh url DIR           the DATABASE_URL: all servers, of which the writable one is used
#   replicated.sh status DIR        a line per server: name, port, primary, standby or down, and how the
#                                   primary sees it
#   replicated.sh kill DIR [SERVER]     SIGKILL to a server and all its processes; the primary unless told
#   replicated.sh signal DIR SERVER STOP|CONT     freezes a server and all its processes, or has them go on
#   replicated.sh promote DIR [SERVER]  the standby that has received most, or this one, becomes the
#                                   primary; the old one is killed first if it still runs
#   replicated.sh rejoin DIR SERVER     a server becomes a standby of the primary, with a copy of its data
#   replicated.sh stop DIR [SERVER]     one server, or all; commits wait while too few standbys are there
#   replicated.sh wake DIR SERVER   starts a stopped or killed server as it is: also an old primary, which
#                                   believes to be one still
#   replicated.sh release DIR       the primary waits for no standby any more, nor do commits that wait now
#   replicated.sh await DIR         the primary waits for a standby again
#   replicated.sh remove DIR        stop all and delete the data
#
# Every commit waits until one standby has it on its disk. With two servers the new primary waits for
# nobody until the other one has joined again; with more it waits at once. A primary whose standby is
# lost waits for ever: `release` is the decision to go on without, which is for people or for a manager.
#
# --throw-away, for tests: not durable if the machine crashes; the URL names the database `postgres` then,
# else `orderhook`, which is made if missing.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

usage() {
    sed -n 's/^#   //p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# --- The servers ---------------------------------------------------------------------------------

# From here on `dir`, `data` and the rest are those of this server.
select_server() {
    name=$1
    dir=$set/$name
    [[ -d $dir ]] || die "there is no server $name in $set"
    find_home
    find_pg_user
}

# Runs a command for every server, with that server selected.
for_each() {
    local each
    for each in "${servers[@]}"; do
        select_server "$each"
        "$@"
    done
}

port_of() { cat "$set/$1/port"; }
primary() { cat "$set/primary"; }
throw_away() { [[ -f $set/throw-away ]]; }
database() { if throw_away; then echo postgres; else echo orderhook; fi; }
is_standby() { [[ -f $data/standby.signal ]]; }

# Prints the names of all servers but this one.
others() {
    local each
    for each in "${servers[@]}"; do
        [[ $each == "$name" ]] || echo "$each"
    done
}

# Asks a server by its TCP port: its socket may be in a folder that only its user may enter.
ask() {
    local server=$1
    use_binaries
    "$bin/psql" -XqAt -v ON_ERROR_STOP=1 "host=127.0.0.1 port=$(port_of "$server") user=postgres dbname=postgres connect_timeout=2" -c "$2"
}

print_url() {
    local each hosts=()
    for each in "${servers[@]}"; do hosts+=("127.0.0.1:$(port_of "$each")"); done
    printf 'postgres://postgres@%s/%s?target_session_attrs=read-write\n' "$(IFS=,; echo "${hosts[*]}")" "$(database)"
}

# A standby follows whichever of the others is writable, so that nothing changes here after a promotion.
configure() {
    local each hosts=() ports=()
    for each in $(others); do hosts+=(127.0.0.1) ports+=("$(port_of "$each")"); done
    {
        echo "listen_addresses = '127.0.0.1'"
        echo "port = $(port_of "$name")"
        echo "unix_socket_directories = '$run'"
        echo "cluster_name = '$name'"
        echo "primary_conninfo = 'user=postgres host=$(IFS=,; echo "${hosts[*]}") port=$(IFS=,; echo "${ports[*]}") application_name=$name target_session_attrs=read-write connect_timeout=2'"
        echo "primary_slot_name = '$name'"
        # How soon a peer that is frozen or gone is noticed.
        printf '%s\n' 'wal_receiver_timeout = 5s' 'wal_sender_timeout = 5s' 'wal_retrieve_retry_interval = 500ms'
        # A standby that is away for long must be copied again rather than fill the disk of the primary.
        echo 'max_slot_wal_keep_size = 1GB'
        echo 'synchronous_commit = on'
        ! throw_away || echo 'fsync = off'
        echo "include_if_exists 'waiting.conf'"
    } | run_as_pg tee "$data/orderhook.conf" >/dev/null
}

# Whom commits on this server wait for while it is the primary: one of the others, or nobody.
set_waiting() {
    local names
    names=$(others | paste -sd,)
    [[ $1 == for_one ]] || names=
    echo "synchronous_standby_names = '${names:+ANY 1 ($names)}'" | run_as_pg tee "$data/waiting.conf" >/dev/null
    ! server_pid >/dev/null || reload
}

reload() { run_as_pg "$bin/pg_ctl" reload -s -D "$data"; }

launch() {
    local output
    use_binaries
    ! server_pid >/dev/null || return 0
    clear_remains
    for _ in {1..20}; do
        configure
        run_as_pg rm -f "$run/log"
        ! output=$(start_postgres 2>&1) || return 0
        # Processes of a server that was killed are about to notice it.
        grep -q 'still in use' "$run/log" || break
        sleep 0.5
    done
    die "$name does not start: $output"$'\n'"$(tail -n 20 "$run/log" 2>&1)"
}

# The slots by which the standbys of this primary say what they still need.
make_slots() {
    local each
    for each in $(others); do
        ask "$name" "SELECT FROM (VALUES ('$each'::name)) standby (slot)
            WHERE slot NOT IN (SELECT slot_name FROM pg_replication_slots)
              AND pg_create_physical_replication_slot(slot) IS NOT NULL"
    done
}

# Waits until the primary has at least so many standbys that follow it.
await_standbys() {
    local following
    for _ in {1..600}; do
        following=$(ask "$(primary)" "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
        ((following < $1)) || return 0
        sleep 0.1
    done
    die "only $following standbys follow $(primary) after 60 s"
}

# Sends a signal to a server and all its processes; the server first, so that it starts no further one.
signal_all() {
    local pid children
    pid=$(server_pid) || return 0
    read -ra children <"/proc/$pid/task/$pid/children" || true
    # One of them may have ended meanwhile.
    kill "-$1" "$pid" "${children[@]}" 2>/dev/null || true
}

kill_server() {
    local pid
    pid=$(server_pid) || return 0
    signal_all KILL
    for _ in {1..100}; do
        is_server "$pid" || return 0
        sleep 0.05
    done
    die "$name (process $pid) does not end"
}

# --- Commands ------------------------------------------------------------------------------------

add_server() {
    mkdir -p "$set/$1"
    select_server "$1"
    settle
    find_pg_user
    [[ -f $dir/port ]] || free_port >"$dir/port"
}

# Makes this server the primary's copy. The old data, if any, is gone then.
copy_primary() {
    local new=$home/data.new source output options=(-X stream -S "$name" --checkpoint=fast)
    source=$(primary)
    use_binaries
    ! throw_away || options+=(--no-sync)
    rm -rf "$new" "$data"
    own_folder "$new"
    output=$(run_as_pg "$bin/pg_basebackup" -D "$new" -h 127.0.0.1 -p "$(port_of "$source")" -U postgres "${options[@]}" 2>&1) ||
        die "pg_basebackup of $source failed: $output"
    run_as_pg touch "$new/standby.signal"
    mv "$new" "$data"
}

# One standby becomes the other's peer; from then on commits wait for one again.
join() {
    local server=$1 following
    select_server "$(primary)"
    make_slots
    select_server "$server"
    copy_primary
    set_waiting "$(if ((${#servers[@]} > 2)); then echo for_one; else echo nobody; fi)"
    following=$(ask "$(primary)" "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
    launch
    await_standbys $((following + 1))
    select_server "$(primary)"
    set_waiting for_one
}

# A port that another program has taken meanwhile is changed, for everybody.
choose_ports() {
    ! server_pid >/dev/null || return 0
    ! port_taken "$(port_of "$name")" || free_port >"$dir/port"
}

start_all() {
    local number each
    if [[ ! -f $set/primary ]]; then
        for ((number = 1; number <= wanted; number++)); do add_server "pg$number"; done
        [[ -z $option ]] || touch "$set/throw-away"
        list_servers
        select_server pg1
        use_binaries
        rm -rf "$data"
        make_cluster
        set_waiting nobody
        echo pg1 >"$set/primary"
    fi
    for_each choose_ports
    select_server "$(primary)"
    launch
    make_slots
    throw_away || [[ $(ask "$name" "SELECT 1 FROM pg_database WHERE datname = 'orderhook'") == 1 ]] ||
        ask "$name" 'CREATE DATABASE orderhook'
    for each in $(others); do
        select_server "$each"
        # What was the primary before has data that the others may not know: it gets a copy.
        if [[ -d $data ]] && is_standby; then launch; else join "$each"; fi
    done
    await_standbys $((${#servers[@]} - 1))
    select_server "$(primary)"
    set_waiting for_one
    print_url
}

show_status() {
    local role=down seen=
    if server_pid >/dev/null; then
        role=primary
        ! is_standby || role=standby
        seen=$(ask "$(primary)" "SELECT format('%s %s', state, sync_state) FROM pg_stat_replication
            WHERE application_name = '$name'" 2>/dev/null) || seen=
    fi
    printf '%s %s %s %s\n' "$name" "$(port_of "$name")" "$role" "$seen"
}

# Prints the standby that has received most.
furthest_standby() {
    local each
    for each in "${servers[@]}"; do
        select_server "$each"
        if server_pid >/dev/null && is_standby; then
            printf '%s %s\n' "$(ask "$each" "SELECT coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'")" "$each"
        fi
    done | sort -rn | sed -n '1s/.* //p'
}

promote() {
    local old new=${1:-$(furthest_standby)}
    [[ -n $new ]] || die "no standby runs"
    old=$(primary)
    if [[ $old != "$new" ]]; then
        # Two that take writes at once would lose what the wrong one took.
        select_server "$old"
        kill_server
    fi
    select_server "$new"
    use_binaries
    run_as_pg "$bin/pg_ctl" promote -s -w -t 60 -D "$data"
    echo "$new" >"$set/primary"
    make_slots
}

stop_all() {
    # The primary first: it waits for nobody when it is told to stop, and its standbys get all it wrote.
    select_server "$(primary)"
    stop_server fast
    for_each stop_server fast
}

remove_all() {
    for_each stop_server immediate
    local each
    for each in "${servers[@]}"; do
        select_server "$each"
        rm -rf "$home/data" "$home/data.new" "$run"
        rmdir --ignore-fail-on-non-empty "$home" 2>/dev/null || true
        rm -rf "$dir"
    done
    rm -f "$set/primary" "$set/throw-away"
    rmdir --ignore-fail-on-non-empty "$set" 2>/dev/null || true
}

list_servers() {
    local folder
    servers=()
    for folder in "$set"/pg[1-9]; do
        [[ ! -d $folder ]] || servers+=("${folder##*/}")
    done
}

command=${1-} set=${2-}
[[ -n $command && -n $set ]] || usage
shift 2
option='' wanted=2 arguments=()
while (($# > 0)); do
    case $1 in
        --throw-away) option=$1 ;;
        --servers)
            wanted=${2-}
            [[ $wanted =~ ^[2-9]$ ]] || die "--servers must be 2 to 9"
            shift
            ;;
        *) arguments+=("$1") ;;
    esac
    shift
done
[[ $command != start ]] || mkdir -p "$set"
[[ -d $set ]] || {
    [[ $command =~ ^(stop|remove)$ ]] || die "there are no servers in $set"
    exit 0
}
set=$(cd "$set" && pwd -P)
cd /
case $command in
    url | status | signal) ;;
    *)
        exec 9<"$set"
        flock 9
        ;;
esac
list_servers
[[ $command =~ ^(start|remove)$ || -f $set/primary ]] || die "there are no servers in $set"
case $command:${#arguments[@]} in
    start:0) start_all ;;
    url:0) print_url ;;
    status:0) for_each show_status ;;
    kill:[01])
        select_server "${arguments[0]-$(primary)}"
        kill_server
        ;;
    signal:2)
        select_server "${arguments[0]}"
        signal_all "${arguments[1]}"
        ;;
    promote:[01]) promote "${arguments[0]-}" ;;
    rejoin:1)
        [[ ${arguments[0]} != "$(primary)" ]] || die "${arguments[0]} is the primary"
        select_server "${arguments[0]}"
        stop_server immediate
        join "${arguments[0]}"
        ;;
    stop:0) stop_all ;;
    stop:1)
        select_server "${arguments[0]}"
        stop_server fast
        ;;
    wake:1)
        select_server "${arguments[0]}"
        launch
        ;;
    release:0 | await:0)
        select_server "$(primary)"
        use_binaries
        set_waiting "$(if [[ $command == await ]]; then echo for_one; else echo nobody; fi)"
        ;;
    remove:0) remove_all ;;
    *) usage ;;
esac
