# shellcheck shell=bash
# What the scripts of this folder and .ci/run share: messages, PostgreSQL's binaries and user, free
# ports, and child processes that never outlive their script. To be sourced.

# A script that starts us in its background leaves INT ignored, and bash cannot undo that for itself:
# we would serve on for ever. (An ignored HUP is somebody's nohup, and stays.)
if [[ $(trap -p INT) == "trap -- ''"* ]] && env --default-signal=INT true 2>/dev/null; then
    exec env --default-signal=INT "$BASH" "$0" "$@"
fi

unset CDPATH
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck disable=SC2034 # For the scripts that source this.
here=$repo/deploy/local

# Settings of another server (PGHOST, PGDATA, PGOPTIONS...) must not reach ours, and the flags of an
# outer make would have cargo look for make's job server.
unset "${!PG@}" MAKEFLAGS MFLAGS
# PostgreSQL's user must be able to pass through the folders that root makes.
umask 022
# A shell that was open before rustup was installed does not know cargo yet.
command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

say() { printf '==> %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# --- PostgreSQL ----------------------------------------------------------------------------------

# Prints the folder of PostgreSQL's programs: of a major version, or of the newest one for '*'.
find_pg_bin() {
    local folders bin
    mapfile -t folders < <(compgen -G "/usr/lib/postgresql/$1/bin" | sort -rV)
    # Other distributions have one version, without a folder of its own.
    if bin=$(command -v postgres); then folders+=("$(dirname "$(readlink -f "$bin")")"); fi
    for bin in "${folders[@]}"; do
        if [[ -x $bin/initdb && -x $bin/pg_ctl && -x $bin/postgres && -x $bin/psql ]]; then
            printf '%s\n' "$bin"
            return
        fi
    done
    return 1
}

# Runs a command as the user of the server (postgres.sh finds out who that is). The server refuses to
# run as root; everybody else runs it as himself.
pg_uid='' pg_gid=''
run_as_pg() {
    if ((EUID == 0)); then
        setpriv --reuid "$pg_uid" --regid "$pg_gid" --clear-groups -- "$@"
    else
        "$@"
    fi
}

# --- nginx ----------------------------------------------------------------------------------------

# Prints the program; an ordinary user's PATH often lacks its folder.
find_nginx() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx; }

# --- Ports ---------------------------------------------------------------------------------------

port_taken() { (exec 3<>"/dev/tcp/${2:-127.0.0.1}/$1") 2>/dev/null; }

# Below the range from which the kernel serves outgoing connections.
free_port() {
    local port
    for _ in {1..100}; do
        port=$((20000 + RANDOM % 12768))
        port_taken "$port" || break
    done
    printf '%s\n' "$port"
}

# --- Child processes -----------------------------------------------------------------------------

# Every child leads a process group of its own: Ctrl-C reaches only the script, which then ends the
# whole group, grandchildren (rustc, test binaries) included.
children=()

# Starts a command in the background; its process id is in `child`.
start() {
    set -m
    # Descriptor 9 holds a lock (lock_local), which must not outlive the script.
    "$@" </dev/null 9>&- &
    set +m
    child=$!
    children+=("$child")
}

# Ends a child and everything it started.
patience_s=20 # The service drains for up to 15 s.
stop() {
    local tries=$((patience_s * 10))
    kill -TERM -- "-$1" 2>/dev/null || return 0
    while group_alive "$1"; do
        if ((tries-- == 0)); then kill -KILL -- "-$1" 2>/dev/null || true; fi
        sleep 0.1
    done
}

# True while a process of the group runs. `kill -0` would count the dead ones too, which stay in a
# container whose process 1 never asks about them.
group_alive() {
    local file stat
    for file in /proc/[0-9]*/stat; do
        { read -r stat <"$file"; } 2>/dev/null || continue
        if [[ ${stat##*) } =~ ^[^ZX]\ [0-9]+\ $1\  ]]; then return 0; fi
    done
    return 1
}

# Runs a command that may take long; a signal to the script ends it at once.
stage() {
    local code=0 pid
    start "$@"
    pid=$child
    wait "$pid" || code=$?
    # Its number may be given to another process from now on.
    stop "$pid"
    unset 'children[-1]'
    return "$code"
}

# Runs a short command that a signal must not cut in half: the signal is acted on after it.
uninterrupted() { setsid --wait "$@" </dev/null 9>&-; }

# The exit code after a signal; 0 once being stopped is the normal end.
stopped_code=

# To be called first: whatever ends the script, its children and then `at_exit` (when the script
# defines it) are dealt with.
supervise() {
    trap clean_up EXIT
    trap 'on_signal 129' HUP
    trap 'on_signal 130' INT
    trap 'on_signal 131' QUIT
    trap 'on_signal 141' PIPE
    trap 'on_signal 143' TERM
    if [[ $(cat "/proc/$PPID/comm" 2>/dev/null) =~ ^g?make$ ]]; then
        start watch_make
    fi
}

on_signal() {
    # A second Ctrl-C must not cut the clean-up short, nor a terminal that is gone.
    trap '' HUP INT QUIT PIPE TERM
    exit "${stopped_code:-$1}"
}

clean_up() {
    local code=$? i
    trap '' HUP INT QUIT PIPE TERM
    set +e
    for ((i = ${#children[@]} - 1; i >= 0; i--)); do
        stop "${children[i]}"
    done
    if declare -F at_exit >/dev/null; then at_exit; fi
    exit "$code"
}

# Ctrl-C reaches make and the script alike. But a HUP or INT sent to make alone is only blocked there
# until its recipe ends, and a killed make says nothing at all: look, and pass it on.
watch_make() {
    local first changed=0
    first=$(make_blocks)
    # Twice in a row, for make blocks signals for a moment when it starts another job.
    while ((changed < 2)); do
        sleep 0.5
        kill -0 "$$" 2>/dev/null || return 0
        if [[ $(make_blocks) == "$first" ]]; then changed=0; else ((++changed)); fi
    done
    kill -TERM "$$"
}

# Prints which of HUP (1) and INT (2) make, our parent, has blocked.
make_blocks() {
    local mask
    mask=$(sed -n 's/^SigBlk:\t//p' "/proc/$PPID/status" 2>/dev/null) || mask=3
    echo $((16#$mask & 3))
}

# One at a time may use a folder. A lock on the folder itself needs no file that another user could not
# open later.
lock_folder() {
    mkdir -p "$1"
    exec 9<"$1"
    flock -n 9 || die "another 'make demo', 'make run' or 'make pool' is using this clone; stop it first"
}

# One at a time may use the clone's database.
lock_local() { lock_folder "$repo/.local"; }
