//! A batch of commits as the parallel arrays that `commit_batch.sql` takes.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use orderhook_actors::ports::{Commit, StoreError};
use orderhook_domain::event::EventKind;
use orderhook_domain::order::Order;
use orderhook_domain::protocol::FieldError;
use rust_decimal::Decimal;
use serde::Serialize;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// The word for an event whose body could not be read far enough to know it.
pub(crate) const UNREADABLE: &str = "unreadable";

type Time = Option<DateTime<Utc>>;

const COMMIT_BATCH: &str = include_str!("../../sql/queries/commit_batch.sql");

/// The statement of a group commit, with only the parts that the batch needs.
pub(crate) fn commit_statement(has_stock: bool, has_notices: bool) -> &'static str {
    static STATEMENTS: LazyLock<[String; 4]> = LazyLock::new(|| {
        [(false, false), (false, true), (true, false), (true, true)].map(|(has_stock, has_notices)| {
            let mut is_wanted = true;
            let mut statement = String::with_capacity(COMMIT_BATCH.len());
            for line in COMMIT_BATCH.lines() {
                match line {
                    "-- only with stock" => is_wanted = has_stock,
                    "-- only with notices" => is_wanted = has_notices,
                    "-- end" => is_wanted = true,
                    line if is_wanted => {
                        statement.push_str(line);
                        statement.push('\n');
                    }
                    _ => {}
                }
            }
            statement
        })
    });
    &STATEMENTS[usize::from(has_stock) * 2 + usize::from(has_notices)]
}

/// One element per commit in every array.
#[derive(Default)]
pub(crate) struct CommitColumns<'a> {
    position: Vec<i32>,
    delivery_id: Vec<Uuid>,
    order_id: Vec<Option<&'a str>>,
    event: Vec<&'a str>,
    event_type: Vec<Option<&'a str>>,
    received_at: Vec<DateTime<Utc>>,
    sm_timestamp: Vec<Time>,
    outcome: Vec<&'a str>,
    notes: Vec<Option<String>>,
    errors: Vec<Option<String>>,
    request_id: Vec<Option<&'a str>>,
    replay_of: Vec<Option<Uuid>>,
    replayed_by: Vec<Option<&'a str>>,
    body: Vec<&'a [u8]>,
    notice: Vec<Option<String>>,
    notice_kind: Vec<Option<&'a str>>,
    version: Vec<Option<i64>>,
    wants_number: Vec<bool>,
    store_id: Vec<Option<&'a str>>,
    status: Vec<Option<&'a str>>,
    closed: Vec<bool>,
    conflict: Vec<bool>,
    created_at: Vec<Time>,
    paid_at: Vec<Time>,
    shipped_at: Vec<Time>,
    delivered_at: Vec<Time>,
    cancelled_at: Vec<Time>,
    cancel_reason: Vec<Option<&'a str>>,
    delivery_from: Vec<Time>,
    delivery_to: Vec<Time>,
    total_price: Vec<Option<i64>>,
    total_discount_price: Vec<Option<i64>>,
    comment: Vec<Option<&'a str>>,
    customer: Vec<Option<String>>,
    document: Vec<Option<String>>,
    memory: Vec<Option<String>>,
}

fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Data(error.to_string()))
}

/// Why a body was rejected, as the journal keeps it.
fn errors_json(errors: &[FieldError]) -> Result<Option<String>, StoreError> {
    #[derive(Serialize)]
    struct Kept<'a> {
        field: &'a str,
        message: &'a str,
    }
    if errors.is_empty() {
        return Ok(None);
    }
    let kept: Vec<Kept<'_>> = errors
        .iter()
        .map(|error| Kept {
            field: &error.field,
            message: &error.message,
        })
        .collect();
    json(&kept).map(Some)
}

impl<'a> CommitColumns<'a> {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        let mut columns = Self::default();
        columns.position.reserve_exact(rows);
        columns.delivery_id.reserve_exact(rows);
        columns
    }

    /// Appends one commit.
    ///
    /// # Errors
    /// [`StoreError::Data`] when a value cannot be written as JSON.
    pub(crate) fn push(&mut self, position: i32, commit: &'a Commit) -> Result<(), StoreError> {
        let arrival = &commit.arrival;
        self.position.push(position);
        self.delivery_id.push(arrival.delivery_id.0);
        self.order_id
            .push(arrival.order_id.as_ref().map(orderhook_domain::ids::OrderId::as_str));
        self.event.push(arrival.kind.map_or(UNREADABLE, EventKind::as_str));
        self.event_type.push(arrival.event_type.as_deref());
        self.received_at.push(arrival.received_at);
        self.sm_timestamp.push(arrival.sm_timestamp);
        self.outcome.push(commit.outcome.as_str());
        let notes: Vec<&str> = commit.notes.iter().map(|note| note.as_str()).collect();
        self.notes.push((!notes.is_empty()).then(|| notes.join(",")));
        self.errors.push(errors_json(&commit.errors)?);
        self.request_id.push(arrival.request_id.as_deref());
        self.replay_of.push(arrival.replay.as_ref().map(|replay| replay.of.0));
        self.replayed_by
            .push(arrival.replay.as_ref().map(|replay| replay.by.as_str()));
        self.body.push(&arrival.body);
        self.notice.push(commit.notice.as_ref().map(json).transpose()?);
        self.notice_kind
            .push(commit.notice.as_ref().map(|notice| notice.kind().as_str()));
        self.push_order(commit.order.as_deref())
    }

    fn push_order(&mut self, order: Option<&'a Order>) -> Result<(), StoreError> {
        let document = order.and_then(|order| order.document.as_ref());
        let marks = order.map(|order| order.marks).unwrap_or_default();
        self.version.push(order.map(|order| order.version));
        self.wants_number
            .push(document.is_some() && order.is_some_and(|order| order.number.is_none()));
        self.store_id.push(document.map(|document| document.store_id.as_str()));
        self.status.push(order.map(|order| order.status().as_str()));
        // An announced order has no document yet, and its marks are not set (protocol section 5, rule 4).
        self.closed.push(order.is_some_and(Order::closed));
        self.conflict.push(order.is_some_and(|order| order.conflict));
        self.created_at.push(document.map(|document| document.created_at));
        self.paid_at.push(marks.paid_at);
        self.shipped_at.push(marks.shipped_at);
        self.delivered_at.push(marks.delivered_at);
        self.cancelled_at.push(marks.cancelled_at);
        self.cancel_reason
            .push(document.and_then(|document| document.cancel_reason.text()));
        self.delivery_from.push(
            document
                .and_then(|document| document.window.from)
                .map(|time| time.to_utc()),
        );
        self.delivery_to.push(
            document
                .and_then(|document| document.window.to)
                .map(|time| time.to_utc()),
        );
        self.total_price.push(
            document
                .and_then(|document| document.total.price)
                .map(|price| price.get()),
        );
        self.total_discount_price.push(
            document
                .and_then(|document| document.total.discount_price)
                .map(|price| price.get()),
        );
        self.comment
            .push(document.and_then(|document| document.comment.as_deref()));
        self.customer.push(
            document
                .and_then(|document| document.customer.as_ref())
                .map(json)
                .transpose()?,
        );
        self.document.push(document.map(json).transpose()?);
        self.memory.push(order.map(|order| json(&order.memory)).transpose()?);
        Ok(())
    }

    /// Whether there is anything to tell.
    pub(crate) fn has_notices(&self) -> bool {
        self.notice_kind.iter().any(Option::is_some)
    }

    /// The parameters of `commit_batch.sql`, `$1` to `$42`, or to `$37` without stock.
    pub(crate) fn parameters<'b>(
        &'b self,
        node: &'b &'b str,
        stock: &'b StockColumns<'_>,
    ) -> Vec<&'b (dyn ToSql + Sync)> {
        let mut parameters: Vec<&'b (dyn ToSql + Sync)> = vec![
            &self.position,
            &self.delivery_id,
            &self.order_id,
            &self.event,
            &self.event_type,
            &self.received_at,
            &self.sm_timestamp,
            &self.outcome,
            &self.notes,
            &self.errors,
            &self.request_id,
            &self.replay_of,
            &self.replayed_by,
            &self.body,
            &self.notice,
            &self.notice_kind,
            &self.version,
            &self.wants_number,
            &self.store_id,
            &self.status,
            &self.closed,
            &self.conflict,
            &self.created_at,
            &self.paid_at,
            &self.shipped_at,
            &self.delivered_at,
            &self.cancelled_at,
            &self.cancel_reason,
            &self.delivery_from,
            &self.delivery_to,
            &self.total_price,
            &self.total_discount_price,
            &self.comment,
            &self.customer,
            &self.document,
            &self.memory,
            node,
        ];
        if !stock.is_empty() {
            parameters.extend([
                &stock.position as &'b (dyn ToSql + Sync),
                &stock.line,
                &stock.store_id,
                &stock.product_id,
                &stock.quantity,
            ]);
        }
        parameters
    }
}

/// One element per stock movement in every array; `position` names the commit it belongs to.
#[derive(Default)]
pub(crate) struct StockColumns<'a> {
    position: Vec<i32>,
    line: Vec<i32>,
    store_id: Vec<&'a str>,
    product_id: Vec<&'a str>,
    quantity: Vec<Decimal>,
}

impl<'a> StockColumns<'a> {
    /// Whether nothing leaves a store.
    pub(crate) fn is_empty(&self) -> bool {
        self.position.is_empty()
    }

    pub(crate) fn push(&mut self, position: i32, commit: &'a Commit) {
        for movement in &commit.stock {
            self.position.push(position);
            // A body of 256 KiB cannot hold so many lines that their numbers would not fit.
            self.line.push(i32::try_from(movement.line).unwrap_or(i32::MAX));
            self.store_id.push(movement.store_id.as_str());
            self.product_id.push(movement.product_id.as_str());
            self.quantity.push(movement.quantity.decimal());
        }
    }
}
