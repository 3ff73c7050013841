//! What the database holds of every order, read by SQL.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use orderhook_domain::ids::DeliveryId;
use orderhook_domain::quantity::Quantity;
use serde_json::Value;
use tokio_postgres::{Client, Row};

use crate::domain::model::{Movement, View};

/// A row of `order_events`.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) delivery_id: DeliveryId,
    pub(crate) version: Option<i64>,
    pub(crate) event: String,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) sm_timestamp: Option<DateTime<Utc>>,
    pub(crate) outcome: String,
    pub(crate) notes: BTreeSet<String>,
    pub(crate) answered_at: Option<DateTime<Utc>>,
    pub(crate) node: String,
    pub(crate) request_id: String,
    pub(crate) body: Vec<u8>,
    /// The kind of what staff are told of it.
    pub(crate) notice: Option<String>,
}

/// A row of `notices`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Notice {
    pub(crate) delivery_id: DeliveryId,
    pub(crate) kind: String,
    pub(crate) role: String,
    pub(crate) chat_id: Option<i64>,
}

/// A row of `orders`, as far as its answers and notices need it.
#[derive(Debug)]
pub(crate) struct OrderRow {
    pub(crate) number: Option<String>,
    pub(crate) store_id: Option<String>,
    pub(crate) assembly_due_at: Option<DateTime<Utc>>,
}

/// In the words of the model; `None` when there is no such order.
#[derive(Debug)]
pub(crate) struct Loaded(pub(crate) Option<View>);

/// Everything of one order.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Its columns, when it has a row.
    pub(crate) row: Option<OrderRow>,
    /// As a node loads it, or as its row says it; not everybody looks at that.
    pub(crate) loaded: Option<Loaded>,
    /// As operations see it.
    pub(crate) shown: Option<Value>,
    /// The history by version; at the end what has none.
    pub(crate) events: Vec<Event>,
    pub(crate) notices: Vec<Notice>,
    /// With the time at which the goods left.
    pub(crate) moved: Vec<(Movement, DateTime<Utc>)>,
}

/// Reads the orders with these ids, in this order. Of others nothing is told.
pub(crate) async fn read(client: &Client, order_ids: &[String]) -> Vec<Stored> {
    let mut all: Vec<Stored> = order_ids.iter().map(|_| Stored::default()).collect();
    let orders: HashMap<&str, usize> = order_ids.iter().map(String::as_str).zip(0..).collect();
    let of = |row: &Row| orders.get(row.get::<_, Option<&str>>("order_id")?).copied();

    let rows =
        "SELECT order_id, number, store_id, (document::jsonb ->> 'assembly_due_at')::timestamptz AS due FROM orders";
    for row in client.query(rows, &[]).await.unwrap() {
        let Some(order) = of(&row) else { continue };
        all[order].row = Some(OrderRow {
            number: row.get("number"),
            store_id: row.get("store_id"),
            assembly_due_at: row.get("due"),
        });
    }
    let events = "SELECT order_id, delivery_id, order_version, event, received_at, sm_timestamp, outcome, notes, \
                  answered_at, node, request_id, body, notice::jsonb ->> 'kind' AS notice \
                  FROM order_events ORDER BY order_version NULLS LAST, received_at";
    for row in client.query(events, &[]).await.unwrap() {
        let Some(order) = of(&row) else { continue };
        all[order].events.push(event(&row));
    }
    let notices = "SELECT order_id, delivery_id, kind, role, chat_id FROM notices";
    for row in client.query(notices, &[]).await.unwrap() {
        let Some(order) = of(&row) else { continue };
        all[order].notices.push(Notice {
            delivery_id: DeliveryId(row.get("delivery_id")),
            kind: row.get("kind"),
            role: row.get("role"),
            chat_id: row.get("chat_id"),
        });
    }
    let moved = "SELECT order_id, line, store_id, product_id, (-quantity)::text AS quantity, moved_at \
                 FROM stock_movements ORDER BY moved_at, line";
    for row in client.query(moved, &[]).await.unwrap() {
        let Some(order) = of(&row) else { continue };
        let movement = Movement {
            line: usize::try_from(row.get::<_, i32>("line")).unwrap(),
            store: row.get("store_id"),
            sku: row.get("product_id"),
            quantity: Quantity::parse_text(row.get("quantity")).unwrap(),
        };
        all[order].moved.push((movement, row.get("moved_at")));
    }
    all
}

fn event(row: &Row) -> Event {
    Event {
        delivery_id: DeliveryId(row.get("delivery_id")),
        version: row.get("order_version"),
        event: row.get("event"),
        received_at: row.get("received_at"),
        sm_timestamp: row.get("sm_timestamp"),
        outcome: row.get("outcome"),
        notes: row
            .get::<_, Option<Vec<String>>>("notes")
            .unwrap_or_default()
            .into_iter()
            .collect(),
        answered_at: row.get("answered_at"),
        node: row.get("node"),
        request_id: row.get("request_id"),
        body: row.get("body"),
        notice: row.get("notice"),
    }
}
