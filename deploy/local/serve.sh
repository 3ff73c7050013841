# shellcheck shell=bash
# What demo.sh and run.sh share: a private database with chats and stock, and a node that serves until
# it is told to stop. To be sourced.
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

database_dir=$repo/.local/demo
# One server; replicated.sh has a standby, too.
database_script=$here/postgres.sh
token=demo-token

at_exit() {
    if [[ -n ${database_used-} ]]; then
        say "stopping PostgreSQL"
        uninterrupted "$database_script" stop "$database_dir"
    fi
}

build() {
    local target
    say "building the service (the first time takes some minutes)"
    stage cargo build --release --locked
    target=$(cargo metadata --no-deps --format-version 1 --locked | jq -r .target_directory)
    orderhook=$target/release/orderhook
}

start_database() {
    say "starting PostgreSQL in ${database_dir#"$repo"/}"
    database_used=yes
    uninterrupted "$database_script" start "$database_dir" >/dev/null
    DATABASE_URL=$("$database_script" url "$database_dir")
    export DATABASE_URL
    stage "$orderhook" migrate
}

# Who is told about which store, and some stock for the lines of the demo's orders.
fill_database() {
    say "adding chats and stock"
    local chat store role id
    # Invented chats are no addresses for a real bot.
    if [[ -z ${ORDERHOOK_TELEGRAM_TOKEN-} ]]; then
        for chat in '8001 pickers -100100' '8001 store -100200' '* pickers -100101' '* store -100201'; do
            read -r store role id <<<"$chat"
            stage "$orderhook" chat add --store="$store" --role="$role" --chat-id="$id"
        done
    fi
    stage "$orderhook" stock import "$here/demo-stock.csv"
}

# Exports the address that the variable $1 has, or $2; on another port if that one is taken.
choose_address() {
    local address=${!1:-$2} host port
    host=${address%:*} port=${address##*:}
    if port_taken "$port" "$host"; then
        say "port $port is taken by another program"
        port=$(free_port)
    fi
    export "$1=$host:$port"
}

ready() { curl -fsS --noproxy '*' --max-time 2 -o /dev/null "$ops_url/readyz"; }

wait_until_ready() {
    for _ in {1..120}; do
        ! ready 2>/dev/null || return 0
        kill -0 "$service" 2>/dev/null || die "the service ended while starting, see above"
        sleep 0.5
    done
    ready || die "the service is not ready after 60 s"
}

start_service() {
    choose_address ORDERHOOK_HOOK_ADDR 127.0.0.1:8080
    choose_address ORDERHOOK_OPS_ADDR 127.0.0.1:8081
    hook_url=http://$ORDERHOOK_HOOK_ADDR
    ops_url=http://$ORDERHOOK_OPS_ADDR
    say "starting the service: hooks at $hook_url, operations at $ops_url"
    # The kernel ends it even if this script is killed with no chance to clean up.
    export ORDERHOOK_CLIENT_TOKENS=${ORDERHOOK_CLIENT_TOKENS:-$token}
    token=${ORDERHOOK_CLIENT_TOKENS%%,*}
    start setpriv --pdeathsig TERM "$orderhook" serve
    service=$child
    wait_until_ready
}

# Everything up to a node that answers.
start_node() {
    [[ ${DEMO_SERVE_SECONDS-} =~ ^[0-9]*$ ]] || die "DEMO_SERVE_SECONDS must be a whole number of seconds"
    supervise
    cd "$repo" || exit
    "$here/setup.sh"
    lock_local
    build
    start_database
    fill_database
    start_service
}

print_addresses() {
    local order body
    order=H-DEMO-$(date +%s)
    body='{"event_type":"order.created","payload":{"originalOrderId":"'$order'","store_id":"8001",'
    body+='"positions":[{"id":"4100017","quantity":1,"price":"89.90"}]}}'
    cat <<TEXT

orderhook is serving until Ctrl-C, which stops everything.

  hooks       $hook_url/sbermarket/orders/hook/
  operations  $ops_url/  (the live page)  /readyz  /api/mailboxes  /metrics  /openapi.json
  PostgreSQL  $DATABASE_URL

Send a hook of a new order, and look at what became of it:

curl -sS -H 'Client-Token: $token' -H 'Content-Type: application/json' -d '$body' $hook_url/sbermarket/orders/hook/

curl -sS $ops_url/api/orders/$order

TEXT
}

# Serves until a signal comes, which is the normal end, or for DEMO_SERVE_SECONDS.
keep_serving() {
    local ends=("$service") code=0
    stopped_code=0
    if [[ -n ${DEMO_SERVE_SECONDS-} ]]; then
        start sleep "$DEMO_SERVE_SECONDS"
        ends+=("$child")
    fi
    wait -n "${ends[@]}" || code=$?
    if ! kill -0 "$service" 2>/dev/null; then
        say "the service ended by itself with exit code $code"
        exit $((code == 0 ? 1 : code))
    fi
    say "served for $DEMO_SERVE_SECONDS s, stopping"
}
