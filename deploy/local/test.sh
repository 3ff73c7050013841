#!/usr/bin/env bash
# `make test`: all tests, on a throw-away cluster. Arguments go to `cargo test`.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Settings of the caller must not reach the tests, but for the seeds of a failure that is to be seen again,
# the load of the pool, what `make chaos` was told, how much is stored for the test of the scrape, a browser of the
# caller's own, which may be the only one there is, and where its pictures go.
declare -A kept=()
for name in HISTORY_SEED POOL_TEST_RATE CHAOS_SEED CHAOS_MINUTES CHAOS_RATE TEST_CHROMIUM TEST_ORDERS TEST_SCREENSHOTS; do
    name=ORDERHOOK_$name
    if [[ -n ${!name-} ]]; then kept[$name]=${!name}; fi
done
unset "${!ORDERHOOK_@}" DATABASE_URL
for name in "${!kept[@]}"; do export "$name=${kept[$name]}"; done

at_exit() {
    [[ -n ${work-} ]] || return 0
    end_runaways
    unmount_disks
    uninterrupted "$here/postgres.sh" remove "$work/postgres"
    rm -rf "$work"
}

# Prints the processes that have this run's mark in their environment.
runaways() {
    local file
    for file in /proc/[0-9]*/environ; do
        if grep -qzxF "ORDERHOOK_TEST_RUN=$work" "$file" 2>/dev/null; then
            basename "${file%/environ}"
        fi
    done
}

# A test that was interrupted leaves the clusters it started: pg_ctl takes them out of our process
# group. QUIT has a PostgreSQL server take down its processes and shared memory at once.
end_runaways() {
    local pids signal
    for signal in QUIT TERM TERM KILL; do
        mapfile -t pids < <(runaways)
        ((${#pids[@]} > 0)) || return 0
        kill "-$signal" "${pids[@]}" 2>/dev/null
        sleep 1
    done
}

# A test that was interrupted leaves its small disk mounted, and the folder could not be deleted.
unmount_disks() {
    local mounted
    while read -r _ mounted _; do
        [[ $mounted != "$work"/* ]] || umount -l "$mounted"
    done </proc/mounts
}

# Prints --workspace, unless the arguments choose packages: cargo would test everything nevertheless.
what_to_test() {
    local arg
    for arg in "$@"; do
        case $arg in
            --) break ;; # The rest is for the test programs.
            -p* | --package | --package=*) return ;;
        esac
    done
    echo --workspace
}

supervise
cd "$repo"
"$here/setup.sh" nginx tests
mapfile -t packages < <(what_to_test "$@")
work=$(mktemp -d "${TMPDIR:-/tmp}/orderhook-test.XXXXXX")
# PostgreSQL's user must be able to enter it.
chmod 755 "$work"
mkdir "$work/tmp"
say "starting a throw-away PostgreSQL"
uninterrupted "$here/postgres.sh" start "$work/postgres" --throw-away >/dev/null
ORDERHOOK_TEST_DATABASE_URL=$("$here/postgres.sh" url "$work/postgres")
ORDERHOOK_TEST_PG_BIN=$(find_pg_bin '*')
export ORDERHOOK_TEST_DATABASE_URL ORDERHOOK_TEST_PG_BIN
# What tests leave in their folder for temporary files goes with ours.
TMPDIR=$work/tmp ORDERHOOK_TEST_RUN=$work stage cargo test "${packages[@]}" --locked "$@"
