//! One event with its rows, as single statements: what the baseline writes. The same columns and values as the
//! service writes by its group commit, which does not send a document again that has not changed.

use chrono::{DateTime, Utc};
use orderhook_domain::apply::Transition;
use orderhook_domain::order::Order;
use tokio_postgres::types::Json;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

const INSERT_ORDER: &str = "INSERT INTO orders (order_id, version, number, store_id, status, closed, conflict, \
     created_at, paid_at, shipped_at, delivered_at, cancelled_at, cancel_reason, delivery_from, delivery_to, \
     total_price, total_discount_price, comment, customer, document, memory) \
     VALUES ($1, $2, nextval('order_numbers')::text, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
     $17, $18, $19, $20)";
const UPDATE_ORDER: &str = "UPDATE orders SET version = $2, store_id = $3, status = $4, closed = $5, conflict = $6, \
     created_at = $7, paid_at = $8, shipped_at = $9, delivered_at = $10, cancelled_at = $11, cancel_reason = $12, \
     delivery_from = $13, delivery_to = $14, total_price = $15, total_discount_price = $16, comment = $17, \
     customer = $18, document = $19, memory = $20, updated_at = now() WHERE order_id = $1";
const INSERT_EVENT: &str = "INSERT INTO order_arrivals (delivery_id, order_id, order_version, event, event_type, \
     received_at, outcome, node, request_id, body, notice) VALUES ($1, $2, $3, $4, $5, $6, $7, 'baseline', $8, $9, $10)";
const INSERT_STOCK: &str = "INSERT INTO stock_movements (order_id, line, store_id, product_id, quantity, moved_at) \
     SELECT $1, line, $2, product_id, -quantity, $6 \
     FROM unnest($3::int[], $4::text[], $5::numeric[]) AS moved(line, product_id, quantity)";
const INSERT_NOTICES: &str = "INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state) \
     SELECT $1, $2, $3, role, chat_id, $4, 'pending' FROM chats \
     WHERE store_id IN ($3, '*') AND role <> 'ops' AND disabled_at IS NULL";

/// The statements, prepared on one connection.
pub(crate) struct Statements {
    insert_order: Statement,
    update_order: Statement,
    insert_event: Statement,
    insert_stock: Statement,
    insert_notices: Statement,
}

impl Statements {
    /// Prepares them.
    pub(crate) async fn prepare(client: &Client) -> Self {
        Self {
            insert_order: client.prepare(INSERT_ORDER).await.unwrap(),
            update_order: client.prepare(UPDATE_ORDER).await.unwrap(),
            insert_event: client.prepare(INSERT_EVENT).await.unwrap(),
            insert_stock: client.prepare(INSERT_STOCK).await.unwrap(),
            insert_notices: client.prepare(INSERT_NOTICES).await.unwrap(),
        }
    }
}

/// What is kept of an arrival.
pub(crate) struct Arrived<'a> {
    /// Unique.
    pub(crate) delivery_id: Uuid,
    /// The canonical event.
    pub(crate) event: &'a str,
    /// As sent.
    pub(crate) event_type: &'a str,
    /// When.
    pub(crate) received_at: DateTime<Utc>,
    /// As nginx gave it.
    pub(crate) request_id: Option<&'a str>,
    /// Byte for byte.
    pub(crate) body: &'a [u8],
}

/// Sends all rows of one event and the COMMIT without waiting in between.
///
/// # Errors
/// Whatever PostgreSQL says of the first statement that failed; the transaction is over then.
pub(crate) async fn write_and_commit(
    client: &Client,
    statements: &Statements,
    arrived: &Arrived<'_>,
    transition: &Transition,
    order: &Order,
) -> Result<(), tokio_postgres::Error> {
    let order_id = order.id.as_str();
    let document = order.document.as_ref().unwrap();
    let store_id = document.store_id.as_str();
    let status = order.status().as_str();
    let closed = order.closed();
    let marks = order.marks;
    let reason = document.cancel_reason.text();
    let from = document.window.from.map(|time| time.to_utc());
    let to = document.window.to.map(|time| time.to_utc());
    let price = document.total.price.map(|price| price.get());
    let discount = document.total.discount_price.map(|price| price.get());
    let comment = document.comment.as_deref();
    let customer = document.customer.as_ref().map(Json);
    let (json_document, memory) = (json(document), json(&order.memory));
    let statement = if order.version == 1 {
        &statements.insert_order
    } else {
        &statements.update_order
    };
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 20] = [
        &order_id,
        &order.version,
        &store_id,
        &status,
        &closed,
        &order.conflict,
        &document.created_at,
        &marks.paid_at,
        &marks.shipped_at,
        &marks.delivered_at,
        &marks.cancelled_at,
        &reason,
        &from,
        &to,
        &price,
        &discount,
        &comment,
        &customer,
        &json_document,
        &memory,
    ];
    let write_order = client.execute(statement, &parameters);
    let outcome = transition.outcome.as_str();
    let notice = transition.notice.as_ref().map(json);
    let event: [&(dyn tokio_postgres::types::ToSql + Sync); 10] = [
        &arrived.delivery_id,
        &order_id,
        &order.version,
        &arrived.event,
        &arrived.event_type,
        &arrived.received_at,
        &outcome,
        &arrived.request_id,
        &arrived.body,
        &notice,
    ];
    let write_event = client.execute(&statements.insert_event, &event);
    let write_stock = async {
        if transition.stock.is_empty() {
            return Ok(0);
        }
        let lines: Vec<i32> = transition.stock.iter().map(|moved| moved.line.cast_signed()).collect();
        let products: Vec<&str> = transition.stock.iter().map(|moved| moved.product_id.as_str()).collect();
        let amounts: Vec<_> = transition.stock.iter().map(|moved| moved.quantity.decimal()).collect();
        let stock: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&order_id, &store_id, &lines, &products, &amounts, &arrived.received_at];
        client.execute(&statements.insert_stock, &stock).await
    };
    let write_notices = async {
        let Some(notice) = &transition.notice else { return Ok(0) };
        let kind = notice.kind().as_str();
        let told: [&(dyn tokio_postgres::types::ToSql + Sync); 4] = [&arrived.delivery_id, &order_id, &store_id, &kind];
        client.execute(&statements.insert_notices, &told).await
    };
    let commit = client.batch_execute("COMMIT");
    tokio::try_join!(write_order, write_event, write_stock, write_notices, commit)?;
    Ok(())
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}
