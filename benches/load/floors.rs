//! What cannot be beaten: HTTP without storage, and PostgreSQL without a service.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use chrono::{DateTime, TimeDelta, Utc};
use orderhook_domain::apply::{Rules, Transition, apply};
use orderhook_domain::event::Delivery;
use orderhook_domain::ids::DeliveryId;
use orderhook_domain::order::Order;
use orderhook_domain::protocol::{self, ParsedEvent};
use rust_decimal::Decimal;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::bodies::{EVENTS, Script, order_id};
use crate::client::WARM_UP;
use crate::cluster::Cluster;
use crate::process::resident;

/// Serves the same route: body read and parsed, nothing stored. Until the process is ended.
pub(crate) async fn serve_http(addr: SocketAddr) -> std::io::Result<()> {
    HttpServer::new(|| {
        App::new().app_data(web::PayloadConfig::new(256 * 1024)).route(
            "/sbermarket/orders/hook/",
            web::post().to(async |body: web::Bytes| match protocol::parse(&body) {
                Ok(_) => HttpResponse::Ok().json(serde_json::json!({"status": "ok"})),
                Err(_) => HttpResponse::BadRequest().finish(),
            }),
        )
    })
    .bind(addr)?
    .run()
    .await
}

/// Events in one transaction, all of different orders.
const BATCH: u64 = 64;
/// Connections side by side.
const CONNECTIONS: u64 = 4;

const UPSERT_ORDERS: &str = "INSERT INTO orders AS o (order_id, version, number, store_id, status, closed, conflict, \
     created_at, delivery_from, delivery_to, total_price, total_discount_price, comment, customer, document, memory) \
     SELECT order_id, $2, nextval('order_numbers')::text, '8001', $3, $4, false, $5, $5, $5, 143840, 127840, $6, \
     $7::text::jsonb, $8, $9 FROM unnest($1::text[]) AS u(order_id) \
     ON CONFLICT (order_id) DO UPDATE SET version = EXCLUDED.version, status = EXCLUDED.status, \
     closed = EXCLUDED.closed, document = EXCLUDED.document, memory = EXCLUDED.memory, updated_at = now()";
const INSERT_EVENTS: &str = "INSERT INTO order_arrivals (delivery_id, order_id, order_version, event, event_type, \
     received_at, outcome, node, request_id, body, notice) \
     SELECT delivery_id, order_id, $3, $4, $5, $6, 'applied', 'floor', order_id, body, $8::text \
     FROM unnest($1::uuid[], $2::text[], $7::bytea[]) AS u(delivery_id, order_id, body)";
const INSERT_NOTICES: &str = "INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state) \
     SELECT delivery_id, order_id, '8001', role, chat_id, $3, 'pending' \
     FROM unnest($1::uuid[], $2::text[]) AS u(delivery_id, order_id) \
     CROSS JOIN (VALUES ('pickers', 1::bigint), ('store', 2)) AS target(role, chat_id)";
const INSERT_ANSWERS: &str = "INSERT INTO order_answers (delivery_id, answered_at) \
     SELECT delivery_id, $2 FROM unnest($1::uuid[]) AS u(delivery_id)";
const INSERT_STOCK: &str = "INSERT INTO stock_movements (order_id, line, store_id, product_id, quantity, moved_at) \
     SELECT order_id, line, '8001', product_id, -quantity, $5 FROM unnest($1::text[]) AS u(order_id) \
     CROSS JOIN unnest($2::int[], $3::text[], $4::numeric[]) AS moved(line, product_id, quantity)";

/// Writes the rows of the bench's events, of every event all columns, for so long after a warm-up as a closed loop
/// has it, and returns the events a second.
pub(crate) async fn postgres(cluster: &Cluster, database: &str, time: Duration) -> f64 {
    let transitions = transitions();
    let mut writers = Vec::new();
    for _ in 0..CONNECTIONS {
        writers.push(Writer::new(cluster.client(database).await).await);
    }
    let begin = Instant::now() + WARM_UP;
    let mut writing = Vec::new();
    for (connection, writer) in (0..).zip(writers) {
        let transitions = transitions.clone();
        writing.push(tokio::spawn(async move {
            writer.write(connection, &transitions, begin, begin + time).await
        }));
    }
    let mut written = 0;
    for events in writing {
        written += events.await.unwrap();
    }
    written as f64 / time.as_secs_f64()
}

/// What the six events of an order come to.
pub(crate) fn transitions() -> Vec<Transition> {
    let mut script = Script::new(8);
    let mut order = None;
    let mut transitions = Vec::new();
    for event in 0..EVENTS.len() {
        let transition = judged(order.take(), script.body(1, event));
        order.clone_from(&transition.order);
        transitions.push(transition);
    }
    transitions
}

fn judged(before: Option<Order>, body: &[u8]) -> Transition {
    let ParsedEvent::Order(parsed) = protocol::parse(body).unwrap().event else {
        panic!("every event has an order");
    };
    let before = before.unwrap_or_else(|| Order::unknown(parsed.order_id.clone()));
    let delivery = Delivery {
        id: DeliveryId(Uuid::now_v7()),
        received_at: Utc::now(),
        event: parsed,
    };
    let rules = Rules {
        assembly_time: TimeDelta::minutes(60),
    };
    apply(&before, &delivery, rules, &HashSet::new()).unwrap()
}

/// What so many new orders of so many lines take without their actors, in bytes of memory each.
pub(crate) fn order_bytes(lines: usize, count: usize) -> f64 {
    let mut script = Script::new(lines);
    let mut orders = Vec::with_capacity(count);
    let this = std::process::id();
    let before = resident(this);
    for number in 0..count {
        let order = judged(None, script.body(number as u64, 0)).order.unwrap();
        orders.push(std::sync::Arc::new(order));
    }
    let bytes = (resident(this) - before) as f64 / orders.len() as f64;
    drop(orders);
    bytes
}

/// A connection with its statements.
struct Writer {
    client: Client,
    upsert: Statement,
    insert: Statement,
    tell: Statement,
    move_stock: Statement,
    record_answers: Statement,
}

impl Writer {
    async fn new(client: Client) -> Self {
        Self {
            upsert: client.prepare(UPSERT_ORDERS).await.unwrap(),
            insert: client.prepare(INSERT_EVENTS).await.unwrap(),
            tell: client.prepare(INSERT_NOTICES).await.unwrap(),
            move_stock: client.prepare(INSERT_STOCK).await.unwrap(),
            record_answers: client.prepare(INSERT_ANSWERS).await.unwrap(),
            client,
        }
    }

    /// Returns how many events were committed between `begin` and `end`.
    async fn write(&self, connection: u64, transitions: &[Transition], begin: Instant, end: Instant) -> u64 {
        let mut script = Script::new(8);
        // Far away from the orders of the services.
        let mut first = 1_000_000_000 * (connection + 1);
        let mut written = 0;
        loop {
            let numbers: Vec<u64> = (first..first + BATCH).collect();
            let ids: Vec<String> = numbers.iter().map(|number| order_id(*number)).collect();
            first += BATCH;
            for (event, transition) in transitions.iter().enumerate() {
                let order = transition.order.as_ref().unwrap();
                let document = order.document.as_ref().unwrap();
                let deliveries: Vec<Uuid> = ids.iter().map(|_| Uuid::now_v7()).collect();
                let bodies: Vec<Vec<u8>> = numbers
                    .iter()
                    .map(|number| script.body(*number, event).to_vec())
                    .collect();
                let (status, closed) = (order.status().as_str(), order.closed());
                let customer = json(&document.customer);
                let (json_document, memory) = (json(document), json(&order.memory));
                let kind = EVENTS[event].strip_prefix("order.").unwrap();
                let now: DateTime<Utc> = Utc::now();
                let notice = transition.notice.as_ref().map(json);
                let parameters: [&(dyn ToSql + Sync); 9] = [
                    &ids,
                    &order.version,
                    &status,
                    &closed,
                    &now,
                    &document.comment,
                    &customer,
                    &json_document,
                    &memory,
                ];
                let orders = self.client.execute(&self.upsert, &parameters);
                let parameters: [&(dyn ToSql + Sync); 8] = [
                    &deliveries,
                    &ids,
                    &order.version,
                    &kind,
                    &EVENTS[event],
                    &now,
                    &bodies,
                    &notice,
                ];
                let events = self.client.execute(&self.insert, &parameters);
                let notices = async {
                    let Some(notice) = &transition.notice else { return Ok(0) };
                    let kind = notice.kind().as_str();
                    let parameters: [&(dyn ToSql + Sync); 3] = [&deliveries, &ids, &kind];
                    self.client.execute(&self.tell, &parameters).await
                };
                let stock = async {
                    if transition.stock.is_empty() {
                        return Ok(0);
                    }
                    let lines: Vec<i32> = transition.stock.iter().map(|moved| moved.line.cast_signed()).collect();
                    let products: Vec<&str> = transition.stock.iter().map(|moved| moved.product_id.as_str()).collect();
                    let amounts: Vec<Decimal> = transition.stock.iter().map(|moved| moved.quantity.decimal()).collect();
                    let parameters: [&(dyn ToSql + Sync); 5] = [&ids, &lines, &products, &amounts, &now];
                    self.client.execute(&self.move_stock, &parameters).await
                };
                let answers = async {
                    if !matches!(kind, "created" | "changed") {
                        return Ok(0);
                    }
                    let parameters: [&(dyn ToSql + Sync); 2] = [&deliveries, &now];
                    self.client.execute(&self.record_answers, &parameters).await
                };
                let (begins, commit) = (self.client.batch_execute("BEGIN"), self.client.batch_execute("COMMIT"));
                tokio::try_join!(begins, orders, events, notices, stock, answers, commit).unwrap();
                let committed = Instant::now();
                if committed >= end {
                    return written;
                }
                if committed >= begin {
                    written += BATCH;
                }
            }
        }
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}
