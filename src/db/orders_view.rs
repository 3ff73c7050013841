//! One order as operations see it: `GET /api/orders/{order_id}` and `orderhook order show`.

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

use crate::db::stored_json::StoredJson;
use crate::db::{Database, store_error};

/// The shape of design contract 4.3. Amounts and money are strings, so that no reader makes a float of them.
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
    /// The totals as SM gave them.
    pub total: TotalView,
    /// The customer's words.
    pub comment: Option<String>,
    /// Raised by every judged event.
    pub version: i64,
    /// The history in commit order.
    pub events: Vec<EventView>,
    /// What staff were told, or will be.
    pub notices: Vec<NoticeView>,
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

/// One event of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventView {
    /// The canonical event, or `unreadable`.
    pub event: String,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// `applied`, `duplicate`, `parked`, `ignored` or `rejected`.
    pub outcome: String,
    /// What the history says beside the outcome.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Names the arrival, for the journal.
    pub delivery_id: String,
    /// The arrival whose body an operator played again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
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
}

const ORDER: &str = "SELECT number, store_id, status, closed, conflict, created_at, paid_at, shipped_at, delivered_at, \
     cancelled_at, cancel_reason, total_price, total_discount_price, comment, version, document \
     FROM orders WHERE order_id = $1";
const EVENTS: &str = "SELECT event, received_at, outcome, notes, delivery_id::text, replay_of::text \
     FROM order_events WHERE order_id = $1 ORDER BY order_version NULLS LAST, received_at, delivery_id";
const NOTICES: &str = "SELECT kind, state, sent_at, role, chat_id FROM notices WHERE order_id = $1 ORDER BY notice_id";

/// Reads one order in one snapshot; `None` when it has no row.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub async fn order_view(database: &Database, order_id: &OrderId) -> Result<Option<OrderView>, StoreError> {
    let mut client = database.connection().await?;
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(|error| store_error(&error))?;
    read(&transaction, order_id).await.map_err(|error| store_error(&error))
}

async fn read(client: &Transaction<'_>, order_id: &OrderId) -> Result<Option<OrderView>, tokio_postgres::Error> {
    let id = order_id.as_str();
    let Some(order) = client.query_opt(ORDER, &[&id]).await? else {
        return Ok(None);
    };
    let events = client.query(EVENTS, &[&id]).await?;
    let notices = client.query(NOTICES, &[&id]).await?;
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
        total: TotalView {
            price: money("total_price")?,
            discount_price: money("total_discount_price")?,
        },
        comment: order.try_get("comment")?,
        version: order.try_get("version")?,
        events: events.iter().map(event).collect::<Result<_, _>>()?,
        notices: notices.iter().map(notice).collect::<Result<_, _>>()?,
    }))
}

fn positions(document: &Document) -> Vec<PositionView> {
    let text = |kopecks: Option<Kopecks>| kopecks.map(|kopecks| kopecks.to_string());
    let position = |line: &orderhook_domain::order::Line| PositionView {
        id: line.product_id.to_string(),
        name: line.name.clone(),
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

fn event(row: &Row) -> Result<EventView, tokio_postgres::Error> {
    let notes: Option<Vec<String>> = row.try_get("notes")?;
    Ok(EventView {
        event: row.try_get("event")?,
        received_at: row.try_get("received_at")?,
        outcome: row.try_get("outcome")?,
        notes: notes.unwrap_or_default(),
        delivery_id: row.try_get("delivery_id")?,
        replay_of: row.try_get("replay_of")?,
    })
}

fn notice(row: &Row) -> Result<NoticeView, tokio_postgres::Error> {
    Ok(NoticeView {
        kind: row.try_get("kind")?,
        state: row.try_get("state")?,
        sent_at: row.try_get("sent_at")?,
        role: row.try_get("role")?,
        chat_id: row.try_get("chat_id")?,
    })
}
