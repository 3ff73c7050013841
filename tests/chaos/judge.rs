//! Whether what is stored of an order can have come of what was sent: by SQL and the reference model of the
//! protocol, with none of the service's own decisions.

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::answers;
use crate::check::{self, Case};
use crate::document;
use crate::ledger::{Ledger, OrderSent};
use crate::replay::replay;
use crate::rows::{self, Loaded, Stored};
use crate::story;

/// What is wrong, by what it means. Each entry names its order.
#[derive(Debug, Default)]
pub(crate) struct Wrong {
    /// Acknowledged and not stored.
    pub(crate) missing: Vec<String>,
    /// Stored more often than it was sent.
    pub(crate) twice: Vec<String>,
    /// Not exactly the one set of movements that the shipped order has.
    pub(crate) stock: Vec<String>,
    /// No serialisation of what was sent ends like this.
    pub(crate) documents: Vec<String>,
    /// Whole stories of the first orders that are wrong.
    pub(crate) stories: Vec<String>,
    /// What was looked at.
    pub(crate) orders: usize,
    pub(crate) events: usize,
    pub(crate) shipped: usize,
    /// Stored although SM heard nothing of it.
    pub(crate) unheard: usize,
}

/// At most so many orders are told in full.
const STORIES: usize = 3;

/// Judges every order of the ledger, and looks for orders that are not in it.
pub(crate) async fn judge(client: &Client, mut ledger: Ledger) -> Wrong {
    let ids: Vec<String> = ledger.orders.keys().cloned().collect();
    let mut wrong = Wrong::default();
    let strangers = "SELECT order_id FROM orders WHERE order_id <> ALL ($1) \
                     UNION SELECT order_id FROM order_events WHERE (order_id = ANY ($1)) IS NOT TRUE";
    for row in client.query(strangers, &[&ids]).await.unwrap() {
        wrong
            .twice
            .push(format!("{:?} was never sent", row.get::<_, Option<&str>>(0)));
    }
    // Nobody has received goods either: every movement is one of a shipped order.
    let strangers = "SELECT order_id, product_id FROM stock_movements WHERE (order_id = ANY ($1)) IS NOT TRUE";
    for row in client.query(strangers, &[&ids]).await.unwrap() {
        let (order, product): (Option<&str>, &str) = (row.get(0), row.get(1));
        wrong
            .stock
            .push(format!("{product} was moved by {order:?}, which was never sent"));
    }
    let mut stored = rows::read(client, &ids).await;
    let mut shown = shown(client).await;
    let mut loaded = document::read(client).await;
    for (id, stored) in ids.iter().zip(&mut stored) {
        stored.shown = shown.remove(id);
        stored.loaded = Some(loaded.remove(id).unwrap_or(Loaded(None)));
    }
    for (id, complaints) in document::contradicted(client).await {
        wrong
            .documents
            .extend(complaints.iter().map(|complaint| format!("{id}: {complaint}")));
    }
    let clock = (Instant::now(), ledger.began());
    for ((id, sent), stored) in ledger.orders.iter_mut().zip(&stored) {
        sent.name_unanswered(stored);
        wrong.orders += 1;
        wrong.events += stored.events.len();
        wrong.shipped += usize::from(!stored.moved.is_empty());
        judge_one(id, sent, stored, clock, &mut wrong);
    }
    wrong.numbers(&stored);
    wrong
}

fn judge_one(id: &str, order: &OrderSent, stored: &Stored, clock: (Instant, DateTime<Utc>), wrong: &mut Wrong) {
    let before = wrong.count();
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &stored.events {
        *rows.entry(&row.request_id).or_default() += 1;
    }
    for (name, rows) in &rows {
        let is_known = order.tries.iter().any(|tried| tried.request_id == *name);
        if !is_known {
            wrong.twice.push(format!("{id}: {name} is stored and was never sent"));
        } else if *rows > 1 {
            wrong.twice.push(format!("{id}: {name} is stored {rows} times"));
        }
    }
    for tried in order.acknowledged() {
        if !rows.contains_key(tried.request_id.as_str()) {
            wrong
                .missing
                .push(format!("{id}: {} was acknowledged and is not stored", tried.request_id));
        }
    }
    let heard = |name: &&&str| order.acknowledged().any(|tried| tried.request_id == **name);
    wrong.unheard += rows.len() - rows.keys().filter(heard).count();

    let sent = order.sent(clock.0, clock.1);
    let case = Case {
        sent: sent.iter().collect(),
        stored,
    };
    let mut told = Vec::new();
    // What is missing or too much is told above; what stands there otherwise must be as it was sent.
    let history = check::recorded(&case, &mut told);
    told.retain(|complaint| complaint.ends_with(check::NOT_AS_SENT));
    let (versions, without): (Vec<_>, Vec<_>) = history.into_iter().partition(|event| event.stored.version.is_some());
    check::numbered(&versions, &mut told);
    check::in_real_time(&versions, &without, &mut told);
    answers::check(&case, &versions, &mut told);
    check::announced_once(&versions, &mut told);
    match replay(&versions) {
        Ok(ends) => {
            if let Some(end) = check::agrees(&case, &ends, &mut told) {
                check::any_order(&versions, end.view.as_ref(), &mut told);
            }
        }
        Err(why) => told.push(why),
    }
    for complaint in told {
        let list = if complaint.starts_with(check::STOCK_MOVED) {
            &mut wrong.stock
        } else {
            &mut wrong.documents
        };
        list.push(format!("{id}: {complaint}"));
    }
    if wrong.count() > before && wrong.stories.len() < STORIES {
        let mut story = format!("== {id}\n");
        story::history(&mut story, &case, clock.0);
        wrong.stories.push(story);
    }
}

impl Wrong {
    pub(crate) fn count(&self) -> usize {
        self.missing.len() + self.twice.len() + self.stock.len() + self.documents.len()
    }

    /// A number belongs to one order.
    fn numbers(&mut self, stored: &[Stored]) {
        let mut given: BTreeMap<&str, usize> = BTreeMap::new();
        for number in stored
            .iter()
            .filter_map(|stored| stored.row.as_ref()?.number.as_deref())
        {
            *given.entry(number).or_default() += 1;
        }
        let twice = given.into_iter().filter(|(_, orders)| *orders > 1);
        self.documents
            .extend(twice.map(|(number, orders)| format!("№ {number} was given to {orders} orders")));
    }
}

/// Every order as operations would see it, made of nothing but the columns that other tools may read.
async fn shown(client: &Client) -> BTreeMap<String, Value> {
    let mut lines: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let positions = "SELECT order_id, product_id, name, trim_scale(quantity)::text AS quantity, price, discount_price, \
                     replaced_by FROM order_positions ORDER BY order_id, line";
    for row in client.query(positions, &[]).await.unwrap() {
        let mut line = json!({
            "id": row.get::<_, String>("product_id"),
            "quantity": row.get::<_, String>("quantity"),
            "price": row.get::<_, Option<i64>>("price").map(roubles),
            "discount_price": row.get::<_, Option<i64>>("discount_price").map(roubles),
            "replaced_by": row.get::<_, Option<String>>("replaced_by"),
        });
        if let Some(name) = row.get::<_, Option<String>>("name") {
            line["name"] = json!(name);
        }
        lines.entry(row.get("order_id")).or_default().push(line);
    }
    let orders = "SELECT order_id, number, store_id, status, closed, conflict, created_at, paid_at, shipped_at, \
                  delivered_at, cancelled_at, total_price, total_discount_price, comment, version FROM orders";
    let rows = client.query(orders, &[]).await.unwrap();
    let order = |row: &tokio_postgres::Row| {
        let id: String = row.get("order_id");
        let text = |name: &str| row.get::<_, Option<String>>(name);
        let time = |name: &str| row.get::<_, Option<DateTime<Utc>>>(name);
        let order = json!({
            "number": text("number"),
            "store_id": text("store_id"),
            "status": text("status"),
            "closed": row.get::<_, bool>("closed"),
            "conflict": row.get::<_, bool>("conflict"),
            "created_at": time("created_at"),
            "paid_at": time("paid_at"),
            "shipped_at": time("shipped_at"),
            "delivered_at": time("delivered_at"),
            "cancelled_at": time("cancelled_at"),
            "total": {
                "price": row.get::<_, Option<i64>>("total_price").map(roubles),
                "discount_price": row.get::<_, Option<i64>>("total_discount_price").map(roubles),
            },
            "comment": text("comment"),
            "version": row.get::<_, i64>("version"),
            "positions": lines.remove(&id).unwrap_or_default(),
        });
        (id, order)
    };
    rows.iter().map(order).collect()
}

pub(crate) fn roubles(kopecks: i64) -> String {
    format!("{}.{:02}", kopecks / 100, kopecks % 100)
}
