#!/usr/bin/env bash
# `make clean-local`: stops what runs in ./.local and deletes it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ -d $repo/.local ]] || exit 0
lock_local
for folder in "$repo"/.local/*/; do
    # A cluster, or the note where it had to go.
    if [[ -d $folder/data || -f $folder/elsewhere ]]; then
        "$here/postgres.sh" remove "$folder"
    elif [[ -f $folder/primary ]]; then
        "$here/replicated.sh" remove "$folder"
    fi
done
rm -rf "$repo/.local"
