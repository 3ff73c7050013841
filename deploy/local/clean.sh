#!/usr/bin/env bash
# `make clean-local`: stops what runs in ./.local and deletes it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ -d $repo/.local ]] || exit 0
lock_local
"$here/postgres.sh" remove "$repo/.local/demo"
rm -rf "$repo/.local"
