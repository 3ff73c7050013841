#!/usr/bin/env bash
# `make run`: the demo's database and node without its orders. ORDERHOOK_... variables of the caller
# reach the service, a Telegram token among them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=serve.sh
source "$(dirname "${BASH_SOURCE[0]}")/serve.sh"

start_node
print_addresses
keep_serving
