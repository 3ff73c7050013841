//! What it costs that the tables never end. The statements run every few seconds or more often: whatever was
//! sent or lost in years must cost them nothing, and a flood that waits not more than its first thousands.

use serde_json::Value;

use crate::fixture::{Fixture, peek};
use orderhook_actors::ports::Outbox;

/// The signature to prepare it with, the statement, and how it is executed.
const STATEMENTS: [(&str, &str, &str); 22] = [
    (
        "peek(bigint[], bigint, bigint, bigint[])",
        include_str!("../../sql/queries/outbox_peek.sql"),
        "peek('{5}', 28, 60, '{6}')",
    ),
    (
        "claim(bigint, bigint, bigint[])",
        include_str!("../../sql/queries/outbox_claim.sql"),
        "claim(7, 1, '{1,2}')",
    ),
    (
        "sent(bigint, bigint[], bigint, text)",
        include_str!("../../sql/queries/outbox_sent.sql"),
        "sent(7, '{1,100001}', 1, NULL)",
    ),
    (
        "retry(bigint, bigint[], text, bigint, boolean)",
        include_str!("../../sql/queries/outbox_retry.sql"),
        "retry(7, '{1,100001}', 'x', 1000, false)",
    ),
    ("recent", include_str!("../../sql/queries/outbox_recent.sql"), "recent"),
    (
        "state(bigint)",
        include_str!("../../sql/queries/outbox_state.sql"),
        "state(20000)",
    ),
    (
        "give_back(bigint, bigint, bigint, bigint, text, boolean)",
        include_str!("../../sql/queries/outbox_give_back.sql"),
        "give_back(1, 0, 1, 110000, 'x', true)",
    ),
    (
        "slice_end(bigint, bigint, bigint)",
        include_str!("../../sql/queries/outbox_slice_end.sql"),
        "slice_end(-9223372036854775808, 0, 5000)",
    ),
    (
        "give_slice_back(bigint, bigint, bigint, bigint, text, boolean)",
        include_str!("../../sql/queries/outbox_give_back.sql"),
        "give_slice_back(-9223372036854775808, 0, 1, 105000, 'x', false)",
    ),
    (
        "gone(bigint)",
        include_str!("../../sql/queries/outbox_gone.sql"),
        "gone(100)",
    ),
    (
        "adoptable(bigint, text, text)",
        include_str!("../../sql/queries/outbox_adoptable.sql"),
        "adoptable(5000, NULL, NULL)",
    ),
    (
        "again(bigint[])",
        include_str!("../../sql/queries/outbox_told_again.sql"),
        "again('{1,300001}')",
    ),
    (
        "told(bigint[])",
        include_str!("../../sql/queries/outbox_told_already.sql"),
        "told('{1,300001}')",
    ),
    (
        "adopt(bigint[])",
        include_str!("../../sql/queries/outbox_adopt.sql"),
        "adopt('{1,300001}')",
    ),
    (
        "waited(timestamptz, bigint)",
        include_str!("../../sql/queries/outbox_waited_long.sql"),
        "waited('1970-01-01', 5000)",
    ),
    (
        "retire(bigint[])",
        include_str!("../../sql/queries/outbox_retire.sql"),
        "retire('{1,300001}')",
    ),
    (
        "unanswered(bigint, bigint)",
        include_str!("../../sql/queries/unanswered_created.sql"),
        "unanswered(600, 20000)",
    ),
    (
        "alarms(bigint, bigint, bigint)",
        include_str!("../../sql/queries/ops_alarms.sql"),
        "alarms(600, 300, 5000)",
    ),
    (
        "conflicts(bigint)",
        include_str!("../../sql/queries/conflicts.sql"),
        "conflicts(20)",
    ),
    (
        "rejects(bigint)",
        include_str!("../../sql/queries/rejects.sql"),
        "rejects(20)",
    ),
    (
        "announced(bigint)",
        include_str!("../../sql/queries/announced.sql"),
        "announced(20)",
    ),
    (
        "stores",
        include_str!("../../sql/queries/stores_without_chat.sql"),
        "stores",
    ),
];

/// Thirty thousand orders of the past with their events and notices, most of which contradict themselves or
/// were never created, and a hundred notices that wait:
/// for the chat 1, for any chat, and for a chat that has left.
const YEARS: &str = "
INSERT INTO chats (store_id, role, chat_id) SELECT 'S' || n, 'pickers', n FROM generate_series(1, 20) AS n;
INSERT INTO chats (store_id, role, chat_id) VALUES ('*', 'ops', -1);
INSERT INTO orders (order_id, version, number, store_id, status, closed, conflict, memory, updated_at)
SELECT 'P' || n, 1, CASE WHEN n < 1500 OR n % 3 > 0 THEN 'N' || n END, 'S' || n % 20,
       CASE WHEN n < 1500 OR n % 3 > 0 THEN 'delivered' ELSE 'announced' END, true, n > 1500 AND n % 3 = 1, '{}',
       now() - n * interval '1 minute'
FROM generate_series(1, 30000) AS n;
INSERT INTO orders (order_id, version, number, store_id, status, closed, conflict, memory)
SELECT 'O' || n, 1, 'M' || n, 'S' || n % 20, CASE WHEN n % 3 = 0 THEN 'cancelled' ELSE 'new' END, false, false, '{}'
FROM generate_series(1, 100) AS n;
INSERT INTO order_arrivals (delivery_id, order_id, order_version, event, received_at, outcome, notes, node, body, notice)
SELECT md5(order_id)::uuid, order_id, 1, 'created', updated_at,
       CASE WHEN number IS NULL THEN 'parked' ELSE 'applied' END,
       CASE WHEN conflict THEN '{late_repeat,conflict_paid_totals}'::text[] END, 'test', 'x',
       '{\"kind\": \"cancelled\"}'
FROM orders ORDER BY updated_at;
INSERT INTO order_answers SELECT delivery_id, received_at FROM order_arrivals;
INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state, created_at, sent_at, message_id)
SELECT md5(order_id)::uuid, order_id, store_id, 'pickers', 1 + mod(version, 20), 'new',
       CASE WHEN number LIKE '%7' THEN 'failed' ELSE 'sent' END, updated_at, updated_at, 1
FROM orders WHERE order_id LIKE 'P%';
INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state, created_at)
SELECT md5(order_id)::uuid, order_id, store_id, CASE WHEN number LIKE '%4' THEN 'store' ELSE 'pickers' END,
       CASE WHEN number LIKE '%1' THEN 1 WHEN number LIKE '%2' THEN 99 END, 'new',
       CASE WHEN number LIKE '%1' OR number LIKE '%2' THEN 'pending' ELSE 'no_chat' END,
       CASE WHEN number LIKE '%3' THEN now() - interval '2 days' ELSE now() END
FROM orders WHERE order_id LIKE 'O%';
";

/// A hundred lookups of four pages each, several times. Reading the past costs thirty thousand and more.
const MOST_PAGES: u64 = 1500;

/// What waits after a while in which nothing could be sent: for one chat, for many others, for none at all, and
/// since yesterday for a chat that is there by now; an hour in which as many orders came, and much that
/// contradicts itself, was rejected or announces orders that nobody knows. Their past is as long.
const FLOOD: &str = "
INSERT INTO chats (store_id, role, chat_id) SELECT 'S' || n, 'pickers', n FROM generate_series(1, 200) AS n;
INSERT INTO orders (order_id, version, number, store_id, status, closed, conflict, memory)
SELECT 'F' || n, 1, 'N' || n, 'S1', 'new', false, false, '{}' FROM generate_series(1, 100000) AS n;
INSERT INTO order_arrivals (delivery_id, order_id, order_version, event, received_at, outcome, node, body, notice)
SELECT md5('F' || n)::uuid, 'F' || n, 1, 'created', now() - interval '1 hour' + n * interval '25 milliseconds',
       'applied', 'test', 'x', '{\"kind\": \"cancelled\"}'
FROM generate_series(1, 100000) AS n;
INSERT INTO order_answers SELECT delivery_id, received_at FROM order_arrivals;
INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state, sent_at)
SELECT gen_random_uuid(), 'F' || n, 'S1', 'pickers', 1, 'new', 'sent', now() - interval '2 minutes' FROM generate_series(1, 100000) AS n;
INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state)
SELECT md5('F' || n)::uuid, 'F' || n, 'S1', 'pickers', CASE WHEN n % 2 = 0 THEN 1 ELSE 1 + n % 200 END, 'new', 'pending'
FROM generate_series(1, 100000) AS n;
INSERT INTO notices (delivery_id, order_id, store_id, role, kind, state)
SELECT md5('F' || n)::uuid, 'F' || n, 'NOBODY', 'pickers', 'new', 'no_chat' FROM generate_series(1, 100000) AS n;
INSERT INTO notices (delivery_id, order_id, store_id, role, kind, state, created_at)
SELECT md5('F' || n)::uuid, 'F' || n, 'S2', 'store', 'new', 'no_chat', now() - interval '2 days' + n * interval '1 millisecond'
FROM generate_series(1, 100000) AS n;
INSERT INTO chats (store_id, role, chat_id) VALUES ('S2', 'store', 201);
INSERT INTO order_arrivals (delivery_id, order_id, event, received_at, outcome, notes, node, body)
SELECT gen_random_uuid(), CASE outcome WHEN 'rejected' THEN 'X' ELSE 'F' END || n, 'paid',
       now() - interval '70 minutes' + n * interval '40 milliseconds', outcome,
       CASE outcome WHEN 'duplicate' THEN '{conflict_paid_totals}'::text[] END, 'test', 'x'
FROM generate_series(1, 100000) AS n, unnest('{duplicate,rejected,parked}'::text[]) AS outcome;
UPDATE orders SET status = 'delivered';
";

/// Each of the floods has a hundred thousand rows.
const MOST_ROWS: u64 = 70_000;

#[tokio::test]
async fn no_statement_reads_all_that_waits() {
    let fixture = Fixture::create().await;
    let database = fixture.database.open();
    let client = database.connection().await.unwrap();
    for (signature, statement, execute) in STATEMENTS {
        client
            .batch_execute(&format!(
                "PREPARE {signature} AS {statement}; EXPLAIN EXECUTE {execute}"
            ))
            .await
            .unwrap();
    }
    fixture.client.batch_execute(FLOOD).await.unwrap();
    let mut too_many = String::new();
    for analyse in ["SELECT", "ANALYZE"] {
        fixture.client.batch_execute(analyse).await.unwrap();
        for (signature, _, execute) in STATEMENTS {
            client.batch_execute("BEGIN").await.unwrap();
            let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {execute}");
            let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
            client.batch_execute("ROLLBACK").await.unwrap();
            let rows = rows_of_tables(&plan[0]["Plan"]);
            println!("{analyse} {signature}: {rows} rows");
            if rows > MOST_ROWS {
                too_many += &format!("{signature} after {analyse} reads {rows} rows:\n{plan:#}\n");
            }
        }
    }
    assert!(too_many.is_empty(), "{too_many}");
}

/// The rows that a plan has read from tables, those included that it has passed over.
fn rows_of_tables(plan: &Value) -> u64 {
    let of = |kind: &str| plan[kind].as_u64().unwrap_or_default();
    let own = if plan["Relation Name"].is_string() && plan["Operation"].is_null() {
        (of("Actual Rows") + of("Rows Removed by Filter") + of("Rows Removed by Index Recheck")) * of("Actual Loops")
    } else {
        0
    };
    let parts = plan["Plans"].as_array().into_iter().flatten();
    own + parts.map(rows_of_tables).sum::<u64>()
}

#[tokio::test]
async fn no_statement_reads_the_history() {
    let fixture = Fixture::create().await;
    let database = fixture.database.open();
    // As the service does: planned once, on the pool's settings, while the tables are empty.
    let client = database.connection().await.unwrap();
    for (signature, statement, execute) in STATEMENTS {
        let prepare = format!("PREPARE {signature} AS {statement}");
        client.batch_execute(&prepare).await.unwrap();
        let explain = format!("EXPLAIN (COSTS OFF) EXECUTE {execute}");
        let plan = client.query(&explain, &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        for table in ["notices", "orders", "order_arrivals", "order_answers"] {
            let reads_all = plan.lines().any(|line| line.contains(&format!("Seq Scan on {table}")));
            assert!(!reads_all, "{signature}:\n{plan}");
        }
    }
    assert!(fixture.outbox.peek(peek()).await.unwrap().is_empty());
    fixture.client.batch_execute(YEARS).await.unwrap();
    // With the plans for empty tables, and with those for the tables as they are.
    for analyse in ["SELECT", "ANALYZE"] {
        fixture.client.batch_execute(analyse).await.unwrap();
        for (signature, _, execute) in STATEMENTS {
            client.batch_execute("BEGIN").await.unwrap();
            let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {execute}");
            let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
            client.batch_execute("ROLLBACK").await.unwrap();
            let of = |kind: &str| plan[0]["Plan"][kind].as_u64().unwrap();
            let pages = of("Shared Hit Blocks") + of("Shared Read Blocks");
            println!("{analyse} {signature}: {pages} pages");
            assert!(
                pages < MOST_PAGES,
                "{signature} after {analyse} reads {pages} pages:\n{plan:#}"
            );
        }
    }
}
