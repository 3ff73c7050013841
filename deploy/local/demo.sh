#!/usr/bin/env bash
# `make demo`: a private PostgreSQL and a node on the service's own defaults, orders played by the
# simulator, then serving until Ctrl-C (or for DEMO_SERVE_SECONDS).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=serve.sh
source "$(dirname "${BASH_SOURCE[0]}")/serve.sh"

# The demo is the same for everybody, and its orders never reach a real chat.
unset "${!ORDERHOOK_@}"
# The texts for staff shall be seen; a line for every hook would bury them.
export ORDERHOOK_LOG=info,orderhook::routes::hook=warn

# What the simulator prints at its end, to be shown after the texts.
report=$repo/.local/sim-report

play_orders() {
    local code=0
    say "playing 20 orders"
    # A new file: the old one may be another user's.
    rm -f "$report"
    # A proxy of the machine has no way to this node.
    NO_PROXY=127.0.0.1 stage "$orderhook" sim --orders 20 \
        --hook-url "$hook_url" --ops-url "$ops_url" --token "$token" >"$report" || code=$?
    if ((code != 0)); then
        cat "$report"
        say "the simulator FAILED with exit code $code, see above"
        exit "$code"
    fi
}

notices_waiting() {
    "$(find_pg_bin '*')/psql" -XqAt "$DATABASE_URL" -c "SELECT count(*) FROM notices WHERE state = 'pending'"
}

# A chat takes one message a second, so the texts go on for some seconds after the last order. What is
# printed after them stays on the screen.
wait_for_notices() {
    local waiting
    for _ in {1..60}; do
        waiting=$(notices_waiting)
        ((waiting > 0)) || return 0
        kill -0 "$service" 2>/dev/null || die "the service ended, see above"
        sleep 0.5
    done
    say "$waiting notices still wait for their turn"
}

start_node
play_orders
wait_for_notices
cat "$report"
print_addresses
keep_serving
