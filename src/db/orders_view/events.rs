//! What arrived of one order, page by page; also of one that never came to be.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use orderhook_actors::ports::StoreError;
use orderhook_domain::ids::OrderId;
use serde::Serialize;
use tokio_postgres::Row;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ASKED, newest};
use crate::db::Database;

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
    /// Who did that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed_by: Option<String>,
    /// The version that the order had after it; `None` when it changed no row.
    pub order_version: Option<i64>,
    /// The name as SM sent it.
    pub event_type: Option<String>,
    /// SM's own time of the event.
    pub sm_timestamp: Option<DateTime<Utc>>,
    /// When it was answered in time; known of created and changed only.
    pub answered_at: Option<DateTime<Utc>>,
    /// From the arrival to that answer, in milliseconds.
    pub answer_ms: Option<i64>,
    /// Why it was rejected: `[{"field": …, "message": …}]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub errors: Option<serde_json::Value>,
    /// Which node took it.
    pub node: String,
    /// nginx's id of the request.
    pub request_id: Option<String>,
    /// The length of the raw body; `None` once pruned.
    pub body_bytes: Option<i32>,
}

const EVENTS: &str = "SELECT event, received_at, outcome, notes, delivery_id::text, replay_of::text, replayed_by, \
            order_version, event_type, sm_timestamp, answered_at, errors, node, request_id, \
            octet_length(body) AS body_bytes \
     FROM order_events \
     WHERE order_id = $1 \
       AND ($2::uuid IS NULL OR (received_at, delivery_id) < ( \
           SELECT before.received_at, before.delivery_id FROM order_arrivals before WHERE before.delivery_id = $2)) \
     ORDER BY received_at DESC, delivery_id DESC LIMIT $3";

/// What arrived under an order id.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ArrivalsView {
    /// As in the order's view.
    pub events: Vec<EventView>,
    /// Set when earlier events were left out: ask for those before this arrival.
    pub events_before: Option<String>,
}

/// Reads what arrived under an order id, whether there is an order or not: a body that could not be accepted
/// leaves none. With `before`, what arrived before that arrival.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked, or does not answer.
pub async fn arrivals(
    database: &Database,
    order_id: &OrderId,
    before: Option<Uuid>,
) -> Result<ArrivalsView, StoreError> {
    let events = database
        .limited(async |client| Events::read(client, order_id.as_str(), before).await)
        .await?;
    Ok(ArrivalsView {
        events: events.events,
        events_before: events.before,
    })
}

/// One page.
pub(super) struct Events {
    pub(super) events: Vec<EventView>,
    /// The oldest of them, when there are earlier ones.
    pub(super) before: Option<String>,
}

impl Events {
    pub(super) async fn read(
        client: &impl GenericClient,
        order_id: &str,
        before: Option<Uuid>,
    ) -> Result<Self, tokio_postgres::Error> {
        let (rows, earlier) = newest(client.query(EVENTS, &[&order_id, &before, &ASKED]).await?);
        let events: Vec<EventView> = rows.iter().map(event).collect::<Result<_, _>>()?;
        let oldest = events.first().map(|event| event.delivery_id.clone());
        Ok(Self {
            events: timeline(events),
            before: oldest.filter(|_| earlier),
        })
    }
}

/// Puts the events without a version (rejected, or about an order that was not known yet) among the others
/// by their arrival. The others keep the order of their versions whatever the clocks of the nodes said.
fn timeline(events: Vec<EventView>) -> Vec<EventView> {
    let (mut judged, others): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event.order_version.is_some());
    judged.sort_by_key(|event| event.order_version);
    let mut others = others.into_iter().peekable();
    let mut merged = Vec::with_capacity(judged.len() + others.len());
    for event in judged {
        while let Some(earlier) = others.next_if(|other| other.received_at < event.received_at) {
            merged.push(earlier);
        }
        merged.push(event);
    }
    merged.extend(others);
    merged
}

fn event(row: &Row) -> Result<EventView, tokio_postgres::Error> {
    let notes: Option<Vec<String>> = row.try_get("notes")?;
    let received_at: DateTime<Utc> = row.try_get("received_at")?;
    let answered_at: Option<DateTime<Utc>> = row.try_get("answered_at")?;
    Ok(EventView {
        event: row.try_get("event")?,
        received_at,
        outcome: row.try_get("outcome")?,
        notes: notes.unwrap_or_default(),
        delivery_id: row.try_get("delivery_id")?,
        replay_of: row.try_get("replay_of")?,
        replayed_by: row.try_get("replayed_by")?,
        order_version: row.try_get("order_version")?,
        event_type: row.try_get("event_type")?,
        sm_timestamp: row.try_get("sm_timestamp")?,
        answered_at,
        answer_ms: answered_at.map(|answered_at| (answered_at - received_at).num_milliseconds()),
        errors: row.try_get("errors")?,
        node: row.try_get("node")?,
        request_id: row.try_get("request_id")?,
        body_bytes: row.try_get("body_bytes")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64, order_version: Option<i64>) -> EventView {
        EventView {
            event: "paid".to_owned(),
            received_at: DateTime::from_timestamp(second, 0).unwrap(),
            outcome: "applied".to_owned(),
            notes: Vec::new(),
            delivery_id: String::new(),
            replay_of: None,
            replayed_by: None,
            order_version,
            event_type: None,
            sm_timestamp: None,
            answered_at: None,
            answer_ms: None,
            errors: None,
            node: String::new(),
            request_id: None,
            body_bytes: None,
        }
    }

    #[test]
    fn events_without_a_version_stand_where_they_arrived_and_the_others_in_the_order_of_their_versions() {
        // By their arrival, as they are read; the clock of the node that took version 3 is behind.
        let events = vec![
            at(5, None),
            at(10, Some(1)),
            at(12, None),
            at(15, Some(3)),
            at(20, Some(2)),
            at(25, None),
            at(30, Some(4)),
            at(40, None),
        ];
        let seconds: Vec<i64> = timeline(events)
            .iter()
            .map(|event| event.received_at.timestamp())
            .collect();
        assert_eq!(seconds, [5, 10, 12, 20, 15, 25, 30, 40]);
    }
}
