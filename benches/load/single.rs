//! One event with all its columns in one statement, one after the other on one connection, and the commit of one
//! short row, the least that PostgreSQL can commit.

use std::time::{Duration, Instant};

use chrono::Utc;
use orderhook_domain::apply::Transition;
use rust_decimal::Decimal;
use tokio_postgres::Client;
use tokio_postgres::types::{Json, ToSql, Type};
use uuid::Uuid;

use crate::bodies::{EVENTS, Script, order_id};
use crate::client::WARM_UP;
use crate::cluster::Cluster;
use crate::floors::transitions;

const INSERT_ORDER: &str = "INSERT INTO orders (order_id, version, number, store_id, status, closed, conflict, \
     created_at, delivery_from, delivery_to, total_price, total_discount_price, comment, customer, document, memory) \
     VALUES ($1, $2, nextval('order_numbers')::text, '8001', $3, $4, false, $5, $5, $5, 143840, 127840, $6, $7, $8, $9)";
const UPDATE_ORDER: &str = "UPDATE orders SET version = $2, status = $3, closed = $4, created_at = $5, comment = $6, \
     customer = $7, document = $8, memory = $9, updated_at = now() WHERE order_id = $1";
const INSERT_NOTICES: &str = "INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state) \
     SELECT $10, $1, '8001', role, chat_id, $11::text, 'pending' \
     FROM (VALUES ('pickers', 1::bigint), ('store', 2)) AS target(role, chat_id)";
const INSERT_STOCK: &str = "INSERT INTO stock_movements (order_id, line, store_id, product_id, quantity, moved_at) \
     SELECT $1, line, '8001', product_id, -quantity, $5 \
     FROM unnest($12::int[], $13::text[], $14::numeric[]) AS moved(line, product_id, quantity)";
const INSERT_EVENT: &str = "INSERT INTO order_arrivals (delivery_id, order_id, order_version, event, event_type, \
     received_at, outcome, node, request_id, body, notice) \
     VALUES ($10, $1, $2, $15, $16, $5, 'applied', 'floor', $1, $17, $18)";

const TYPES: [Type; 18] = [
    Type::TEXT,
    Type::INT8,
    Type::TEXT,
    Type::BOOL,
    Type::TIMESTAMPTZ,
    Type::TEXT,
    Type::JSONB,
    Type::TEXT,
    Type::TEXT,
    Type::UUID,
    Type::TEXT,
    Type::INT4_ARRAY,
    Type::TEXT_ARRAY,
    Type::NUMERIC_ARRAY,
    Type::TEXT,
    Type::TEXT,
    Type::BYTEA,
    Type::TEXT,
];

/// Durable commits of one event each, with all its rows, one after the other over one connection, a second.
pub(crate) async fn events(cluster: &Cluster, database: &str, time: Duration) -> f64 {
    let client = cluster.client(database).await;
    // As the service has it: nothing is planned anew.
    let plans = "SET plan_cache_mode = force_generic_plan";
    client.batch_execute(plans).await.unwrap();
    let transitions = transitions();
    let mut statements = Vec::new();
    for transition in &transitions {
        // With the types given, values that a statement has no use for do no harm.
        let text = statement(transition);
        statements.push(client.prepare_typed(&text, &TYPES).await.unwrap());
    }
    let mut script = Script::new(8);
    let (begin, mut committed) = (Instant::now() + WARM_UP, 0_u64);
    for number in 9_000_000_000.. {
        for (event, transition) in transitions.iter().enumerate() {
            if begin.elapsed() >= time {
                return committed as f64 / begin.elapsed().as_secs_f64();
            }
            let body = script.body(number, event);
            commit(
                &client,
                &statements[event],
                (&order_id(number), event, body),
                transition,
            )
            .await;
            committed += u64::from(Instant::now() >= begin);
        }
    }
    0.0
}

/// The parts that the event needs.
fn statement(transition: &Transition) -> String {
    let is_first = transition.order.as_ref().unwrap().version == 1;
    let mut statement = format!("WITH moved AS ({})", if is_first { INSERT_ORDER } else { UPDATE_ORDER });
    if transition.notice.is_some() {
        statement += &format!(", told AS ({INSERT_NOTICES})");
    }
    if !transition.stock.is_empty() {
        statement += &format!(", left_the_store AS ({INSERT_STOCK})");
    }
    statement + " " + INSERT_EVENT
}

async fn commit(
    client: &Client,
    statement: &tokio_postgres::Statement,
    (order_id, event, body): (&str, usize, &[u8]),
    transition: &Transition,
) {
    let order = transition.order.as_ref().unwrap();
    let document = order.document.as_ref().unwrap();
    let lines: Vec<i32> = transition.stock.iter().map(|moved| moved.line.cast_signed()).collect();
    let products: Vec<&str> = transition.stock.iter().map(|moved| moved.product_id.as_str()).collect();
    let amounts: Vec<Decimal> = transition.stock.iter().map(|moved| moved.quantity.decimal()).collect();
    let notice = transition.notice.as_ref();
    let values: [&(dyn ToSql + Sync); 18] = [
        &order_id,
        &order.version,
        &order.status().as_str(),
        &order.closed(),
        &Utc::now(),
        &document.comment.as_deref(),
        &document.customer.as_ref().map(Json),
        &serde_json::to_string(document).unwrap(),
        &serde_json::to_string(&order.memory).unwrap(),
        &Uuid::now_v7(),
        &notice.map(|notice| notice.kind().as_str()),
        &lines,
        &products,
        &amounts,
        &EVENTS[event].strip_prefix("order.").unwrap(),
        &EVENTS[event],
        &body,
        &notice.map(|notice| serde_json::to_string(notice).unwrap()),
    ];
    assert_eq!(client.execute(statement, &values).await.unwrap(), 1);
}

/// Durable commits of one short row, one after the other over one connection, a second.
pub(crate) async fn short_rows(cluster: &Cluster, database: &str, time: Duration) -> f64 {
    let client = cluster.client(database).await;
    client
        .batch_execute("CREATE TABLE IF NOT EXISTS bench_commits (n bigint GENERATED ALWAYS AS IDENTITY, text text)")
        .await
        .unwrap();
    let statement = client
        .prepare("INSERT INTO bench_commits (text) VALUES ($1)")
        .await
        .unwrap();
    let begin = Instant::now() + WARM_UP;
    let mut commits = 0_u64;
    while begin.elapsed() < time {
        client.execute(&statement, &[&"a short row"]).await.unwrap();
        commits += u64::from(Instant::now() >= begin);
    }
    commits as f64 / begin.elapsed().as_secs_f64()
}
