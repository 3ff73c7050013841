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

play_orders() {
    local code=0
    say "playing 20 orders"
    # A proxy of the machine has no way to this node.
    NO_PROXY=127.0.0.1 stage "$orderhook" sim --orders 20 \
        --hook-url "$hook_url" --ops-url "$ops_url" --token "$token" || code=$?
    if ((code != 0)); then
        say "the simulator FAILED with exit code $code, see above"
        exit "$code"
    fi
}

start_node
play_orders
print_addresses
keep_serving
