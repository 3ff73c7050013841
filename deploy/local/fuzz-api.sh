#!/usr/bin/env bash
# `make fuzz-api`: schemathesis throws requests made from the OpenAPI description at a running node, and
# finds answers that the description does not allow. FUZZ_SECONDS per listener, 60 unless told.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=serve.sh
source "$(dirname "${BASH_SOURCE[0]}")/serve.sh"

unset "${!ORDERHOOK_@}"
database_dir=$repo/.local/fuzz-api
seconds=${FUZZ_SECONDS:-60}
venv=$repo/.local/schemathesis
checks=not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance
checks+=,response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth

install_schemathesis() {
    [[ ! -x $venv/bin/schemathesis ]] || return 0
    say "installing schemathesis into ${venv#"$repo"/}"
    stage python3 -m venv "$venv" || die "python3 with its venv module is needed (Debian: apt-get install python3-venv)"
    stage "$venv/bin/pip" install --quiet --disable-pip-version-check 'schemathesis==4.*'
}

fuzz() {
    say "fuzzing $1 for $seconds s"
    NO_PROXY=127.0.0.1 stage "$venv/bin/schemathesis" run "$ops_url/openapi.json" --url "$1" "${@:2}" \
        --checks "$checks" --max-time "$seconds" --warnings off
}

install_schemathesis
start_node
cd "$repo/.local"
fuzz "$hook_url" --include-path-regex sbermarket --header "Client-Token: $token"
# The live stream has no end that could be waited for.
fuzz "$ops_url" --exclude-path-regex 'sbermarket|/api/live'
say "no answer was undocumented, none was a server error"
