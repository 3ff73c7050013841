//! The journal: every body that an authenticated caller sent, with what was decided on it.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use orderhook_actors::ports::StoreError;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::db::Database;

/// Which entries are wanted; what is `None` or empty does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `applied`, `duplicate`, `parked`, `ignored`, `rejected`.
    pub outcomes: Vec<String>,
    /// Canonical events, or `unreadable`.
    pub events: Vec<String>,
    /// One order.
    pub order_id: Option<String>,
    /// Arrived at or after.
    pub since: Option<DateTime<Utc>>,
    /// At most so many, the newest.
    pub limit: i64,
}

/// One arrival without its body.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Names the arrival.
    pub delivery_id: Uuid,
    /// The order, if it was readable.
    pub order_id: Option<String>,
    /// The canonical event, or `unreadable`.
    pub event: String,
    /// The name as SM sent it.
    pub event_type: Option<String>,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// What was decided.
    pub outcome: String,
    /// What the history says beside the outcome.
    pub notes: Vec<String>,
    /// Why it was rejected: `[{"field": …, "message": …}]`.
    pub errors: Option<Value>,
    /// Which node took it.
    pub node: String,
    /// nginx's id of the request.
    pub request_id: Option<String>,
    /// When a created or changed was answered in time.
    pub answered_at: Option<DateTime<Utc>>,
    /// The arrival whose body was played again.
    pub replay_of: Option<Uuid>,
    /// Who played it again.
    pub replayed_by: Option<String>,
    /// The length of the body; `None` once pruned.
    pub body_bytes: Option<i32>,
}

const COLUMNS: &str = "delivery_id, order_id, event, event_type, received_at, outcome, notes, errors, node, request_id, \
     answered_at, replay_of, replayed_by, octet_length(body) AS body_bytes";

fn entry(row: &Row) -> Result<Entry, tokio_postgres::Error> {
    let notes: Option<Vec<String>> = row.try_get("notes")?;
    Ok(Entry {
        delivery_id: row.try_get("delivery_id")?,
        order_id: row.try_get("order_id")?,
        event: row.try_get("event")?,
        event_type: row.try_get("event_type")?,
        received_at: row.try_get("received_at")?,
        outcome: row.try_get("outcome")?,
        notes: notes.unwrap_or_default(),
        errors: row.try_get("errors")?,
        node: row.try_get("node")?,
        request_id: row.try_get("request_id")?,
        answered_at: row.try_get("answered_at")?,
        replay_of: row.try_get("replay_of")?,
        replayed_by: row.try_get("replayed_by")?,
        body_bytes: row.try_get("body_bytes")?,
    })
}

/// The newest entries that fit, oldest of them first.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub async fn list(database: &Database, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
    database
        .limited(async |client| {
            let transaction = client.transaction().await?;
            // Which filter is given decides how rows are found: here one plan does not fit every call.
            let planning = "SET LOCAL plan_cache_mode = force_custom_plan; \
                            SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = on";
            transaction.batch_execute(planning).await?;
            let statement = format!(
                "SELECT {COLUMNS} FROM order_events \
                 WHERE (cardinality($1::text[]) = 0 OR outcome = ANY($1)) \
                   AND (cardinality($2::text[]) = 0 OR event = ANY($2)) \
                   AND ($3::text IS NULL OR order_id = $3) \
                   AND ($4::timestamptz IS NULL OR received_at >= $4) \
                 ORDER BY received_at DESC, delivery_id DESC LIMIT $5"
            );
            let rows = transaction
                .query(
                    &statement,
                    &[
                        &filter.outcomes,
                        &filter.events,
                        &filter.order_id,
                        &filter.since,
                        &filter.limit,
                    ],
                )
                .await?;
            rows.iter().rev().map(entry).collect()
        })
        .await
}

/// One entry with its body; `None` when there is no such arrival.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked, or does not answer.
pub async fn show(database: &Database, delivery_id: Uuid) -> Result<Option<(Entry, Option<Bytes>)>, StoreError> {
    let statement = format!("SELECT {COLUMNS}, body FROM order_events WHERE delivery_id = $1");
    let read = |row: Row| -> Result<_, tokio_postgres::Error> {
        let body: Option<&[u8]> = row.try_get("body")?;
        Ok((entry(&row)?, body.map(Bytes::copy_from_slice)))
    };
    database
        .limited(async |client| {
            let row = client.query_opt(&statement, &[&delivery_id]).await?;
            row.map(read).transpose()
        })
        .await
}

/// How many rows one statement of pruning touches: small, so that hooks never wait for it.
const PRUNE_ROWS: i64 = 1000;

/// Forgets the bodies of arrivals before a moment, and the facts of their notices that are told, and
/// returns how many bodies that were. The entries themselves stay.
///
/// # Errors
/// [`StoreError`]; what was pruned before it stays pruned.
pub async fn prune(database: &Database, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let statement = "UPDATE order_arrivals SET body = NULL, notice = NULL WHERE delivery_id IN ( \
         SELECT delivery_id FROM order_arrivals e WHERE received_at < $1 AND body IS NOT NULL \
           AND NOT EXISTS (SELECT FROM notices n WHERE n.delivery_id = e.delivery_id AND n.state = 'pending') \
         ORDER BY received_at LIMIT $2)";
    let mut pruned = 0;
    loop {
        let rows = database
            .limited(async |client| {
                let statement = client.prepare_cached(statement).await?;
                client.execute(&statement, &[&before, &PRUNE_ROWS]).await
            })
            .await?;
        pruned += rows;
        if rows < PRUNE_ROWS.unsigned_abs() {
            return Ok(pruned);
        }
    }
}
