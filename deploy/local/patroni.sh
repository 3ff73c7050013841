#!/usr/bin/env bash
# PostgreSQL under a failover manager, on this machine only: etcd, and the servers pg1 and pg2 under
# Patroni with the configuration of deploy/failover. What replicated.sh does by hand, it does by itself.
#
#   patroni.sh start DIR            make everything, wait for the synchronous standby, print the DATABASE_URL
#   patroni.sh list DIR             the servers as Patroni sees them, in JSON
#   patroni.sh kill DIR SERVER      its machine dies: SIGKILL to Patroni and PostgreSQL
#   patroni.sh crash DIR SERVER     SIGKILL to PostgreSQL alone
#   patroni.sh signal DIR SERVER STOP|CONT    freezes Patroni and PostgreSQL, or has them go on
#   patroni.sh wake DIR SERVER      its machine is back: Patroni is started
#   patroni.sh remove DIR           stop all and delete the data
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

usage() {
    sed -n 's/^#   //p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

servers=(pg1 pg2)
password=local-only

port() { cat "$set/$1.port"; }

# From here on `dir`, `data` and the rest are those of this server.
select_server() {
    name=$1
    dir=$set/$name
    [[ -d $dir ]] || die "there is no server $name in $set"
    find_home
    find_pg_user
}

# Starts a program that outlives this script, as PostgreSQL's user. Its output and process id are in files.
launch() {
    local program=$1 as_pg=()
    shift
    ((EUID != 0)) || as_pg=(setpriv --reuid "$pg_uid" --regid "$pg_gid" --clear-groups --)
    (cd "$home" && exec "${as_pg[@]}" setsid env ORDERHOOK_SET="$set" "$@" </dev/null >>"$set/$program.log" 2>&1 9>&-) &
    echo $! >"$set/$program.pid"
}

# True while a program that was launched here runs; its number may be another program's by now.
runs() {
    local pid
    pid=$(cat "$set/$1.pid" 2>/dev/null) && grep -qzxF -- "ORDERHOOK_SET=$set" "/proc/$pid/environ" 2>/dev/null
}

end() {
    ! runs "$2" || kill "-$1" "$(cat "$set/$2.pid")" 2>/dev/null || true
}

start_etcd() {
    local client peer
    client=http://127.0.0.1:$(port etcd) peer=http://127.0.0.1:$(port etcd-peers)
    launch etcd ETCD_UNSUPPORTED_ARCH="$(uname -m)" etcd --name etcd --data-dir "$home/etcd" \
        --listen-client-urls "$client" --advertise-client-urls "$client" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "etcd=$peer" \
        --logger zap --log-level warn
    for _ in {1..300}; do
        if curl -fsS --noproxy '*' --max-time 2 -o /dev/null "$client/health" 2>/dev/null; then return; fi
        runs etcd || break
        sleep 0.1
    done
    die "etcd does not start: $(tail -n 5 "$set/etcd.log")"
}

start_patroni() {
    select_server "$1"
    use_binaries
    own_folder "$home"
    # Named as in deploy/failover/patroni.env.example.
    launch "$name" \
        PATRONI_NAME="$name" \
        PATRONI_ETCD3_HOSTS="127.0.0.1:$(port etcd)" \
        PATRONI_RESTAPI_LISTEN="127.0.0.1:$(port "$name-rest")" \
        PATRONI_RESTAPI_CONNECT_ADDRESS="127.0.0.1:$(port "$name-rest")" \
        PATRONI_RESTAPI_USERNAME=patroni \
        PATRONI_RESTAPI_PASSWORD=$password \
        PATRONI_POSTGRESQL_LISTEN="127.0.0.1:$(port "$name")" \
        PATRONI_POSTGRESQL_CONNECT_ADDRESS="127.0.0.1:$(port "$name")" \
        PATRONI_POSTGRESQL_DATA_DIR="$data" \
        PATRONI_POSTGRESQL_BIN_DIR="$bin" \
        PATRONI_POSTGRESQL_PGPASS="$home/pgpass" \
        PATRONI_SUPERUSER_PASSWORD=$password \
        PATRONI_REPLICATION_PASSWORD=$password \
        PATRONI_REWIND_PASSWORD=$password \
        patroni "$home/patroni.yml"
}

list() { curl -fsS --noproxy '*' --max-time 5 "http://127.0.0.1:$(port "$1-rest")/cluster"; }

# The servers, as the first one that answers sees them.
list_all() {
    local each
    for each in "${servers[@]}"; do
        if list "$each" 2>/dev/null; then return; fi
    done
    die "no Patroni answers"
}

# Waits until Patroni sees a leader and its synchronous standby.
await_standby() {
    local wanted='[.members[].role] | contains(["leader"]) and contains(["sync_standby"])'
    for _ in {1..240}; do
        if list_all 2>/dev/null | jq -e "$wanted" >/dev/null; then return; fi
        sleep 0.5
    done
    die "there is no synchronous standby after 120 s: $(tail -n 5 "$set"/pg?.log)"
}

print_url() {
    printf 'postgres://orderhook:%s@127.0.0.1:%s,127.0.0.1:%s/orderhook?target_session_attrs=read-write\n' \
        "$password" "$(port pg1)" "$(port pg2)"
}

start_all() {
    local each
    for each in etcd etcd-peers pg1 pg1-rest pg2 pg2-rest; do
        free_port >"$set/$each.port"
    done
    for each in "${servers[@]}"; do
        mkdir -p "$set/$each"
        select_server "$each"
        settle
        find_pg_user
        own_folder "$home"
        install -m 644 "$repo/deploy/failover/patroni.yml" "$home/patroni.yml"
    done
    select_server pg1
    start_etcd
    start_patroni pg1
    start_patroni pg2
    await_standby
    PGPASSWORD=$password "$bin/psql" -Xq -v ON_ERROR_STOP=1 -v password=$password -f "$repo/deploy/failover/database.sql" \
        "host=127.0.0.1,127.0.0.1 port=$(port pg1),$(port pg2) user=postgres dbname=postgres target_session_attrs=read-write"
    print_url
}

# Sends a signal to the server's PostgreSQL and all its processes.
signal_postgres() {
    local pid children=()
    pid=$(server_pid) || return 0
    read -ra children <"/proc/$pid/task/$pid/children" || true
    kill "-$1" "$pid" "${children[@]}" 2>/dev/null || true
}

remove_all() {
    local each
    for each in "${servers[@]}"; do
        [[ -d $set/$each ]] || continue
        select_server "$each"
        end KILL "$each"
        stop_server immediate
    done
    end KILL etcd
    for each in "${servers[@]}"; do
        [[ -d $set/$each ]] || continue
        select_server "$each"
        rm -rf "$home"
        rm -rf "$dir"
    done
    rm -f "$set"/*.{port,pid,log}
    rmdir --ignore-fail-on-non-empty "$set"
}

command=${1-} set=${2-}
[[ -n $command && -n $set ]] || usage
# A module that Debian keeps out of an ordinary user's way.
PATH=$PATH:/usr/sbin:/sbin
{ command -v patroni && command -v etcd; } >/dev/null || die "patroni and etcd are needed (Debian: apt-get install patroni etcd-server)"
[[ $command != start ]] || mkdir -p "$set"
[[ -d $set ]] || {
    [[ $command == remove ]] || die "there are no servers in $set"
    exit 0
}
set=$(cd "$set" && pwd -P)
cd /
case $command:$# in
    start:2) start_all ;;
    list:2) list_all ;;
    kill:3)
        select_server "$3"
        end KILL "$3"
        signal_postgres KILL
        ;;
    crash:3)
        select_server "$3"
        signal_postgres KILL
        ;;
    signal:4)
        select_server "$3"
        end "$4" "$3"
        signal_postgres "$4"
        ;;
    wake:3) start_patroni "$3" ;;
    remove:2) remove_all ;;
    *) usage ;;
esac
