#!/usr/bin/env bash
# Installs what the other scripts need (Debian and its relatives), or says what is missing.
# Quick and silent when everything is there.
#
#   setup.sh [nginx] [tests]   what these need as well
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo"

purposes=" $* "
wanted_for() { [[ $purposes == *" $1 "* ]]; }

# The tests of nginx's script need a node with a test runner.
node_works() { (($(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0) >= 18)); }

has_browser() {
    [[ -n ${ORDERHOOK_TEST_CHROMIUM-} ]] || { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null
}

# Prints the Debian packages that are missing, one a line.
missing_packages() {
    find_pg_bin '*' >/dev/null || echo postgresql
    command -v curl >/dev/null || echo curl
    command -v jq >/dev/null || echo jq
    # The ring crate compiles C; build-essential brings the C library's headers as well.
    command -v cc >/dev/null || echo build-essential
    command -v make >/dev/null || echo make
    [[ -s /etc/ssl/certs/ca-certificates.crt || -s /etc/pki/tls/certs/ca-bundle.crt ]] || echo ca-certificates
    if wanted_for nginx; then
        find_nginx >/dev/null || echo nginx
        compgen -G '/usr/lib*/nginx/modules/ngx_http_js_module.so' >/dev/null || echo libnginx-mod-http-js
    fi
    if wanted_for tests; then
        command -v openssl >/dev/null || echo openssl
        node_works || echo nodejs
        has_browser || echo chromium
        # Its promtool checks the alerts, and the server fires them.
        { command -v promtool && command -v prometheus; } >/dev/null || echo prometheus
        # The failover manager that deploy/failover configures, and where it keeps who the primary is.
        command -v patroni >/dev/null || echo patroni
        PATH=$PATH:/usr/sbin:/sbin command -v etcd >/dev/null || echo etcd-server
    fi
}

# Installing postgresql makes and starts a cluster for the machine, and installing nginx, prometheus or etcd
# starts one, unless told not to. We bring our own; the machine's settings are as before afterwards.
install_packages() {
    local no_cluster=/etc/postgresql-common/createcluster.d/orderhook-setup.conf
    local no_start=/usr/sbin/policy-rc.d temporary
    local apt=("$@" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
    temporary=("$no_cluster")
    # A machine that has a policy of its own keeps it.
    [[ -e $no_start ]] || temporary+=("$no_start")
    # shellcheck disable=SC2064 # The values of now.
    trap "$* rm -f ${temporary[*]}" EXIT
    "$@" mkdir -p "${no_cluster%/*}"
    "$@" sh -c "echo 'create_main_cluster = false' >$no_cluster"
    if [[ ! -e $no_start ]]; then
        # 101: no service may be started.
        "$@" sh -c "printf '#!/bin/sh\nexit 101\n' >$no_start && chmod 755 $no_start"
    fi
    { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${packages[@]}"; } </dev/null >&2 ||
        die "apt-get could not install: ${packages[*]}"
    # Nor shall they start with the machine.
    local service
    for service in nginx prometheus patroni etcd; do
        if [[ " ${packages[*]} " =~ " $service"(-server)?" " ]] && command -v systemctl >/dev/null; then
            "$@" systemctl disable --quiet "$service" || true
        fi
    done
}

require_packages() {
    local packages
    mapfile -t packages < <(missing_packages)
    ((${#packages[@]} > 0)) || return 0
    say "missing: ${packages[*]}"
    if ! command -v apt-get >/dev/null; then
        die "install these with your package manager (named here as Debian names them) and try again"
    elif ((EUID == 0)); then
        install_packages
    elif sudo -n true 2>/dev/null; then
        install_packages sudo -n
    else
        die "install them with: sudo apt-get install ${packages[*]}"
    fi
    mapfile -t packages < <(missing_packages)
    ((${#packages[@]} == 0)) || die "still missing after the installation: ${packages[*]}"
}

require_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    { command -v cargo && command -v rustc; } >/dev/null ||
        die "Rust $wanted or later is needed: install it as https://rustup.rs says, then open a new shell"
    found=$(rustc --version) || die "rustc does not work in this folder (see above); Rust $wanted or later is needed"
    found=${found#rustc }
    found=${found%%[ -]*}
    printf '%s\n' "$wanted" "$found" | sort -CV ||
        die "Rust $wanted or later is needed, this is $found: update it with 'rustup update stable'"
}

# Root may write everywhere; anybody else stumbles over what root or another user left in the clone.
require_own_files() {
    ((EUID != 0)) || return 0
    local target
    target=$(cargo metadata --no-deps --format-version 1 --locked | jq -r .target_directory)
    [[ -w . || (-d .local && -d $target) ]] ||
        die "you may not write to $repo: make a clone of your own"
    [[ -z $(find .local -type d ! -writable -print -quit 2>/dev/null) ]] ||
        die "another user has run the demo in this clone: remove its data with 'sudo make clean-local', or make a clone of your own"
    [[ -z $(find "$target" ! -writable -print -quit 2>/dev/null) ]] ||
        die "another user has built in this clone: remove $target as that user, or set CARGO_TARGET_DIR, or make a clone of your own"
}

require_packages
require_rust
require_own_files
