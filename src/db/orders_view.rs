//! One order as operations see it: `GET /api/orders/{order_id}` and `orderhook order show`.

mod events;

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use orderhook_actors::ports::StoreError;
use orderhook_domain::ids::OrderId;
use orderhook_domain::money::Kopecks;
use orderhook_domain::order::Document;
use orderhook_domain::quantity::Quantity;
use serde::Serialize;
use tokio_postgres::{IsolationLevel, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::Database;
use crate::db::stored_json::StoredJson;
use events::Events;
pub use events::{ArrivalsView, EventView, arrivals};

/// `GET /api/orders/{id}`. Amounts and money are strings, so that no reader makes a float of them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderView {
    /// SM's id.
    pub order_id: String,
    /// The partner's number.
    pub number: Option<String>,
    /// The store that picks it.
    pub store_id: Option<String>,
    /// `new`, `paid`, `shipped`, `delivered`, `cancelled` or `announced`.
    pub status: String,
    /// Whether changes are no longer applied.
    pub closed: bool,
    /// Whether something contradicts something else.
    pub conflict: bool,
    /// Arrival of created.
    pub created_at: Option<DateTime<Utc>>,
    /// Arrival of paid.
    pub paid_at: Option<DateTime<Utc>>,
    /// Arrival of the first event that shipped it.
    pub shipped_at: Option<DateTime<Utc>>,
    /// Arrival of delivered.
    pub delivered_at: Option<DateTime<Utc>>,
    /// Arrival of cancelled.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// Why it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_reason: Option<String>,
    /// The lines; a removed one has the quantity 0.
    pub positions: Vec<PositionView>,
    /// The delivery window.
    pub delivery_from: Option<DateTime<Utc>>,
    /// The delivery window.
    pub delivery_to: Option<DateTime<Utc>>,
    /// The totals as SM gave them.
    pub total: TotalView,
    /// The customer's words.
    pub comment: Option<String>,
    /// Raised by every judged event.
    pub version: i64,
    /// The history: judged events in the order of their versions, the others among them by their arrival.
    /// At most 200 of them: the newest, or those before the arrival that was asked for.
    pub events: Vec<EventView>,
    /// Set when earlier events were left out: ask for those before this arrival.
    pub events_before: Option<String>,
    /// What staff were told, or will be; at most the newest 200.
    pub notices: Vec<NoticeView>,
    /// Whether earlier notices were left out.
    pub notices_left_out: bool,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PositionView {
    /// The SKU.
    pub id: String,
    /// What staff call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The amount, without trailing zeros.
    pub quantity: String,
    /// Roubles with two decimals.
    pub price: Option<String>,
    /// Roubles with two decimals.
    pub discount_price: Option<String>,
    /// The SKU that replaces this line.
    pub replaced_by: Option<String>,
}

/// The totals of an order, in roubles with two decimals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TotalView {
    /// Before discounts.
    pub price: Option<String>,
    /// After discounts.
    pub discount_price: Option<String>,
}

/// One notice for one chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NoticeView {
    /// `new`, `changed` or `cancelled`.
    pub kind: String,
    /// `pending`, `sent`, `failed` or `no_chat`.
    pub state: String,
    /// When Telegram took it.
    pub sent_at: Option<DateTime<Utc>>,
    /// `pickers` or `store`.
    pub role: String,
    /// The chat, when one is subscribed.
    pub chat_id: Option<i64>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// How often sending it was begun.
    pub attempts: i32,
    /// What Telegram, or the connection to it, said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

const ORDER: &str = "SELECT number, store_id, status, closed, conflict, created_at, paid_at, shipped_at, delivered_at, \
     cancelled_at, cancel_reason, delivery_from, delivery_to, total_price, total_discount_price, comment, version, document \
     FROM orders WHERE order_id = $1";
/// An order to which SM repeats something for ever shall not fill the memory of whoever looks at it.
const SHOWN: usize = 200;
/// One more than is shown says that there are more.
const ASKED: i64 = 201;

const NOTICES: &str = "SELECT kind, state, sent_at, role, chat_id, created_at, attempts, last_error \
     FROM notices WHERE order_id = $1 ORDER BY notice_id DESC LIMIT $2";

/// Reads one order in one snapshot; `None` when it has no row. With `before`, the events that arrived before
/// that arrival.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked, or does not answer.
pub async fn order_view(
    database: &Database,
    order_id: &OrderId,
    before: Option<Uuid>,
) -> Result<Option<OrderView>, StoreError> {
    database
        .limited(async |client| {
            let transaction = client
                .build_transaction()
                .isolation_level(IsolationLevel::RepeatableRead)
                .read_only(true)
                .start()
                .await?;
            read(&transaction, order_id, before).await
        })
        .await
}

async fn read(
    client: &Transaction<'_>,
    order_id: &OrderId,
    before: Option<Uuid>,
) -> Result<Option<OrderView>, tokio_postgres::Error> {
    let id = order_id.as_str();
    let Some(order) = client.query_opt(ORDER, &[&id]).await? else {
        return Ok(None);
    };
    let events = Events::read(client, id, before).await?;
    let (notices, notices_left_out) = newest(client.query(NOTICES, &[&id, &ASKED]).await?);
    let document: Option<StoredJson<Document>> = order.try_get("document")?;
    let money = |column: &str| -> Result<Option<String>, tokio_postgres::Error> {
        let kopecks: Option<i64> = order.try_get(column)?;
        Ok(kopecks.map(|kopecks| Kopecks::new(kopecks).to_string()))
    };
    Ok(Some(OrderView {
        order_id: id.to_owned(),
        number: order.try_get("number")?,
        store_id: order.try_get("store_id")?,
        status: order.try_get("status")?,
        closed: order.try_get("closed")?,
        conflict: order.try_get("conflict")?,
        created_at: order.try_get("created_at")?,
        paid_at: order.try_get("paid_at")?,
        shipped_at: order.try_get("shipped_at")?,
        delivered_at: order.try_get("delivered_at")?,
        cancelled_at: order.try_get("cancelled_at")?,
        cancel_reason: order.try_get("cancel_reason")?,
        positions: document
            .map(|StoredJson(document)| positions(&document))
            .unwrap_or_default(),
        delivery_from: order.try_get("delivery_from")?,
        delivery_to: order.try_get("delivery_to")?,
        total: TotalView {
            price: money("total_price")?,
            discount_price: money("total_discount_price")?,
        },
        comment: order.try_get("comment")?,
        version: order.try_get("version")?,
        events: events.events,
        events_before: events.before,
        notices: notices.iter().map(notice).collect::<Result<_, _>>()?,
        notices_left_out,
    }))
}

/// From the newest first to the oldest first, at most as many as are shown, and whether there are more.
fn newest(mut rows: Vec<Row>) -> (Vec<Row>, bool) {
    let more = rows.len() > SHOWN;
    rows.truncate(SHOWN);
    rows.reverse();
    (rows, more)
}

fn positions(document: &Document) -> Vec<PositionView> {
    let text = |kopecks: Option<Kopecks>| kopecks.map(|kopecks| kopecks.to_string());
    let position = |line: &orderhook_domain::order::Line| PositionView {
        id: line.product_id.to_string(),
        name: line.name.as_deref().map(str::to_owned),
        quantity: quantity(line.quantity),
        price: text(line.prices.price),
        discount_price: text(line.prices.discount_price),
        replaced_by: line.replaced_by.as_ref().map(ToString::to_string),
    };
    document.lines.iter().map(position).collect()
}

fn quantity(quantity: Quantity) -> String {
    quantity.decimal().normalize().to_string()
}

fn notice(row: &Row) -> Result<NoticeView, tokio_postgres::Error> {
    Ok(NoticeView {
        kind: row.try_get("kind")?,
        state: row.try_get("state")?,
        sent_at: row.try_get("sent_at")?,
        role: row.try_get("role")?,
        chat_id: row.try_get("chat_id")?,
        created_at: row.try_get("created_at")?,
        attempts: row.try_get("attempts")?,
        last_error: row.try_get("last_error")?,
    })
}
