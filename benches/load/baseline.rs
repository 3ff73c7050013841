//! The service that most would write: per hook one transaction that locks the order's row, decides, writes
//! and commits, with its statements pipelined: two round trips. The same parser, rules, rows and log line
//! as orderhook, the record of answers (protocol section 5, rule 5) included; no outbox sender, no bounds.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use orderhook_domain::apply::{Rules, apply, questions};
use orderhook_domain::event::{Delivery, Event, EventKind};
use orderhook_domain::ids::{DeliveryId, OrderId, OrderNumber};
use orderhook_domain::order::{Marks, Memory, Order};
use orderhook_domain::protocol::{self, ParsedEvent};
use tokio::sync::{Mutex, Semaphore};
use tokio_postgres::types::Json;
use tokio_postgres::{Client, NoTls, Row, Statement};
use uuid::Uuid;

use crate::rows::{Arrived, Statements, write_and_commit};

/// Connections; more do not make it faster on two cores.
pub(crate) const POOL: usize = 32;

const LOCK_ORDER: &str = "SELECT version, number, conflict, paid_at, shipped_at, delivered_at, cancelled_at, customer, \
     document, memory FROM orders WHERE order_id = $1 FOR UPDATE";

/// As the service does it, which explains why.
const RECORD_ANSWERS: &str = include_str!("../../sql/queries/record_answers.sql");
const PAUSE_OF_RECORDER: Duration = Duration::from_millis(100);

struct Connection {
    client: Client,
    lock_order: Statement,
    statements: Statements,
}

struct Pool {
    free: Mutex<Vec<Connection>>,
    places: Semaphore,
    /// Answers that are to be recorded.
    answered: std::sync::Mutex<Vec<(Uuid, DateTime<Utc>)>>,
}

impl Pool {
    async fn open(url: &str) -> Self {
        let mut free = Vec::new();
        for _ in 0..POOL {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            tokio::spawn(connection);
            free.push(Connection {
                lock_order: client.prepare(LOCK_ORDER).await.unwrap(),
                statements: Statements::prepare(&client).await,
                client,
            });
        }
        Self {
            free: Mutex::new(free),
            places: Semaphore::new(POOL),
            answered: std::sync::Mutex::default(),
        }
    }

    /// Records answers for ever, a batch after each pause.
    async fn record_answers(&self, client: Client) {
        let statement = client.prepare(RECORD_ANSWERS).await.unwrap();
        loop {
            tokio::time::sleep(PAUSE_OF_RECORDER).await;
            let answered = std::mem::take(&mut *self.answered.lock().unwrap());
            let (ids, times): (Vec<Uuid>, Vec<DateTime<Utc>>) = answered.into_iter().unzip();
            if !ids.is_empty() {
                client.execute(&statement, &[&ids, &times]).await.unwrap();
            }
        }
    }
}

/// Serves until the process is ended.
pub(crate) async fn serve(addr: SocketAddr, url: &str, io: &tokio::runtime::Handle) -> std::io::Result<()> {
    let url = url.to_owned();
    let opening = async move {
        let pool = Arc::new(Pool::open(&url).await);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let recorded = Arc::clone(&pool);
        tokio::spawn(async move { recorded.record_answers(client).await });
        pool
    };
    let pool = io.spawn(opening).await.unwrap();
    HttpServer::new(move || {
        App::new()
            .app_data(web::Data::from(Arc::clone(&pool)))
            .app_data(web::PayloadConfig::new(256 * 1024))
            .route("/sbermarket/orders/hook/", web::post().to(receive))
    })
    .bind(addr)?
    .run()
    .await
}

async fn receive(request: HttpRequest, body: web::Bytes, pool: web::Data<Pool>) -> HttpResponse {
    let (started, received_at) = (Instant::now(), Utc::now().trunc_subsecs(6));
    let Ok(parsed) = protocol::parse(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    let ParsedEvent::Order(event) = parsed.event else {
        return HttpResponse::BadRequest().finish();
    };
    let request_id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    let delivery_id = Uuid::now_v7();
    let arrived = Arrived {
        delivery_id,
        event: parsed.kind.as_str(),
        event_type: &parsed.name,
        received_at,
        request_id,
        body: &body,
    };
    let order_id = event.order_id.clone();
    match decide(&pool, &arrived, event).await {
        Ok(number) => {
            let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap();
            if matches!(parsed.kind, EventKind::Created | EventKind::Changed) {
                pool.answered.lock().unwrap().push((delivery_id, Utc::now()));
            }
            tracing::info!(
                order_id = order_id.as_str(),
                event = arrived.event,
                duration_us,
                "hook answered"
            );
            let number = number.map_or(String::new(), |number| number.0.to_string());
            HttpResponse::Ok().json(serde_json::json!({"status": "ok", "number": number}))
        }
        Err(error) => {
            tracing::warn!(%error, "hook refused");
            HttpResponse::ServiceUnavailable().finish()
        }
    }
}

async fn decide(
    pool: &Pool,
    arrived: &Arrived<'_>,
    event: Event,
) -> Result<Option<OrderNumber>, tokio_postgres::Error> {
    let _place = pool.places.acquire().await.unwrap();
    let connection = pool.free.lock().await.pop().unwrap();
    let decided = decide_on(&connection, arrived, event).await;
    pool.free.lock().await.push(connection);
    decided
}

async fn decide_on(
    connection: &Connection,
    arrived: &Arrived<'_>,
    event: Event,
) -> Result<Option<OrderNumber>, tokio_postgres::Error> {
    let client = &connection.client;
    let order_id = event.order_id.clone();
    let begin = client.batch_execute("BEGIN");
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&order_id.as_str()];
    let lock = client.query_opt(&connection.lock_order, &parameters);
    let ((), row) = tokio::try_join!(begin, lock)?;
    let order = match row {
        Some(row) => order_of(order_id, &row),
        None => Order::unknown(order_id),
    };
    let delivery = Delivery {
        id: DeliveryId(arrived.delivery_id),
        received_at: arrived.received_at,
        event,
    };
    assert!(questions(&order, &delivery).is_empty(), "the bench sends no repeats");
    let rules = Rules {
        assembly_time: TimeDelta::minutes(60),
    };
    let transition = apply(&order, &delivery, rules, &HashSet::new()).unwrap();
    let next = transition.order.as_ref().unwrap();
    write_and_commit(client, &connection.statements, arrived, &transition, next).await?;
    Ok(order.number)
}

fn order_of(id: OrderId, row: &Row) -> Order {
    let document: Option<&str> = row.get("document");
    let customer: Option<Json<_>> = row.get("customer");
    let memory: Memory = serde_json::from_str(row.get("memory")).unwrap();
    let number: Option<&str> = row.get("number");
    Order {
        id,
        version: row.get("version"),
        number: number.map(|number| OrderNumber(number.into())),
        document: document.map(|document| {
            let mut document: orderhook_domain::order::Document = serde_json::from_str(document).unwrap();
            document.customer = customer.map(|Json(customer)| customer);
            Arc::new(document)
        }),
        marks: Marks {
            paid_at: row.get("paid_at"),
            shipped_at: row.get("shipped_at"),
            delivered_at: row.get("delivered_at"),
            cancelled_at: row.get("cancelled_at"),
        },
        conflict: row.get("conflict"),
        memory,
    }
}
