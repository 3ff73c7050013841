//! The order store port on PostgreSQL: one statement per group commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use orderhook_actors::ports::{Answered, Commit, Committed, OrderStore, StoreError};
use orderhook_domain::ids::{DeliveryId, OrderId, OrderNumber};
use orderhook_domain::order::{Marks, Memory, Order};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::db::batch::BatchRows;
use crate::db::stored_json::StoredJson;
use crate::db::{Database, is_stored_already, with_causes};

const LOAD_ORDER: &str = include_str!("../../sql/queries/load_order.sql");
const RECORD_ANSWERS: &str = include_str!("../../sql/queries/record_answers.sql");

const STORED_DELIVERIES: &str = "SELECT delivery_id FROM order_arrivals WHERE delivery_id = ANY($1)";
/// Writes nothing but a word in the log of the database, whose commit is durable only when everything before
/// it is, on the standby as well.
const MAKE_DURABLE: &str = "SELECT pg_logical_emit_message(true, 'orderhook', '')";

/// [`OrderStore`] on the tables of `sql/migrations`.
#[derive(Debug, Clone)]
pub struct PostgresOrderStore {
    database: Database,
    node: Arc<str>,
}

impl PostgresOrderStore {
    /// A store that signs its events with the name of this node.
    #[must_use]
    pub const fn new(database: Database, node: Arc<str>) -> Self {
        Self { database, node }
    }
}

impl OrderStore for PostgresOrderStore {
    fn load(&self, order_id: &OrderId) -> BoxFuture<'static, Result<Option<Order>, StoreError>> {
        let order_id = order_id.clone();
        self.database.run(async move |database| {
            let row = database
                .limited(async |client| {
                    let statement = client.prepare_cached(LOAD_ORDER).await?;
                    client.query_opt(&statement, &[&order_id.as_str()]).await
                })
                .await?;
            // A row that this build cannot read will not be readable in a moment either.
            row.map(|row| order_of(order_id, &row).map_err(|error| StoreError::Data(with_causes(&error))))
                .transpose()
        })
    }

    fn for_writer(self: Arc<Self>, under_way: usize) -> Arc<dyn OrderStore> {
        // One is enough for all of them (see `pipeline`). When that one breaks, or stands still and is given up, all
        // may ask for another at once, and none of them shall wait for a place.
        match self.database.with_own_pool(under_way) {
            Ok(database) => Arc::new(Self {
                database,
                node: Arc::clone(&self.node),
            }),
            Err(error) => {
                tracing::error!(%error, "a writer shares the connections of the others");
                self
            }
        }
    }

    fn commit(&self, batch: Vec<Arc<Commit>>) -> BoxFuture<'static, Result<Vec<Committed>, StoreError>> {
        let node = Arc::clone(&self.node);
        // Should the server stand still, sending the batch again settles the outcome.
        self.database
            .run_here(async move |database| commit(&database, &node, &batch).await)
    }

    fn answered(&self, deliveries: Vec<DeliveryId>) -> BoxFuture<'static, Result<HashSet<DeliveryId>, StoreError>> {
        self.database.run(async move |database| {
            let ids: Vec<Uuid> = deliveries.iter().map(|delivery| delivery.0).collect();
            let statement = "SELECT delivery_id FROM order_answers WHERE delivery_id = ANY($1)";
            let rows = database
                .limited(async |client| {
                    let statement = client.prepare_cached(statement).await?;
                    client.query(&statement, &[&ids]).await
                })
                .await?;
            Ok(rows.iter().map(|row| DeliveryId(row.get(0))).collect())
        })
    }

    fn record_answers(&self, mut answers: Vec<Answered>) -> BoxFuture<'static, Result<(), StoreError>> {
        self.database.run(async move |database| {
            // Sorted, so that two recorders never wait for each other's keys in opposite order.
            answers.sort_by_key(|answer| answer.delivery_id);
            let ids: Vec<Uuid> = answers.iter().map(|answer| answer.delivery_id.0).collect();
            let times: Vec<DateTime<Utc>> = answers.iter().map(|answer| answer.at).collect();
            database
                .limited(async |client| {
                    let statement = client.prepare_cached(RECORD_ANSWERS).await?;
                    client.execute(&statement, &[&ids, &times]).await
                })
                .await?;
            Ok(())
        })
    }
}

/// The order of a row of `load_order.sql`.
fn order_of(id: OrderId, row: &Row) -> Result<Order, tokio_postgres::Error> {
    let document: Option<StoredJson<orderhook_domain::order::Document>> = row.try_get("document")?;
    let customer: Option<Json<_>> = row.try_get("customer")?;
    let StoredJson(memory): StoredJson<Memory> = row.try_get("memory")?;
    let number: Option<&str> = row.try_get("number")?;
    Ok(Order {
        id,
        version: row.try_get("version")?,
        number: number.map(|number| OrderNumber(number.into())),
        document: document.map(|StoredJson(mut document)| {
            document.customer = customer.map(|Json(customer)| customer);
            Arc::new(document)
        }),
        marks: Marks {
            paid_at: row.try_get("paid_at")?,
            shipped_at: row.try_get("shipped_at")?,
            delivered_at: row.try_get("delivered_at")?,
            cancelled_at: row.try_get("cancelled_at")?,
        },
        conflict: row.try_get("conflict")?,
        memory,
    })
}

/// The orders that a transaction won, with their numbers; `None` when nothing was written because a delivery
/// of it is stored already.
type Won = Option<HashMap<String, Option<OrderNumber>>>;

async fn commit(database: &Database, node: &str, batch: &[Arc<Commit>]) -> Result<Vec<Committed>, StoreError> {
    let mut fresh: Vec<&Commit> = batch.iter().map(AsRef::as_ref).collect();
    fresh.sort_unstable_by_key(|commit| commit.arrival.order_id.as_ref().map(OrderId::as_str));
    // Two tries of one delivery that is about no order can meet in one batch.
    let mut first_tries = HashSet::with_capacity(batch.len());
    fresh.retain(|commit| first_tries.insert(commit.arrival.delivery_id));
    let mut stored = HashSet::new();
    let won = if let Some(won) = write(database, node, &fresh).await? {
        won
    } else {
        stored = stored_deliveries(database, &fresh).await?;
        fresh.retain(|commit| !stored.contains(&commit.arrival.delivery_id.0));
        write(database, node, &fresh).await?.ok_or_else(|| {
            StoreError::Transient("another node is storing a delivery of the batch at this moment".to_owned())
        })?
    };
    // Who lost its version may have lost it to its own earlier try.
    fresh.retain(|commit| {
        let order = commit.order.as_ref();
        order.is_some_and(|order| !won.contains_key(order.id.as_str()))
    });
    stored.extend(stored_deliveries(database, &fresh).await?);

    let became = batch.iter().map(|commit| {
        let delivery_id = commit.arrival.delivery_id;
        if stored.contains(&delivery_id.0) || !first_tries.remove(&delivery_id) {
            return Committed::AlreadyStored;
        }
        let Some(order) = &commit.order else {
            return Committed::Stored { number: None };
        };
        match won.get(order.id.as_str()) {
            Some(number) => Committed::Stored { number: number.clone() },
            None => Committed::Stale,
        }
    });
    Ok(became.collect())
}

/// Sends the statement of a group commit.
async fn write(database: &Database, node: &str, commits: &[&Commit]) -> Result<Won, StoreError> {
    if commits.is_empty() {
        return Ok(Some(HashMap::new()));
    }
    let mut rows = BatchRows::with_capacity(commits.len());
    for commit in commits {
        rows.push(commit);
    }
    database
        .pipelined(async |client| {
            let statement = client.prepare_cached(rows.statement()).await?;
            let won = match client.query(&statement, &rows.parameters(&node)).await {
                Ok(won) => won,
                Err(error) if is_stored_already(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            let won = won.iter().map(|row| {
                let number: Option<&str> = row.try_get("number")?;
                Ok((
                    row.try_get("order_id")?,
                    number.map(|number| OrderNumber(number.into())),
                ))
            });
            won.collect::<Result<_, _>>().map(Some)
        })
        .await
}

/// Which of these commits' deliveries are stored, for good.
async fn stored_deliveries(database: &Database, commits: &[&Commit]) -> Result<HashSet<Uuid>, StoreError> {
    if commits.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<Uuid> = commits.iter().map(|commit| commit.arrival.delivery_id.0).collect();
    let rows = database
        .pipelined(async |client| {
            let statement = client.prepare_cached(STORED_DELIVERIES).await?;
            let stored = client.query(&statement, &[&ids]).await?;
            // It may have been committed by this server alone: its wait for the standby can have ended with its
            // session, or with a crash. What is written now is durable only when all before it is.
            if !stored.is_empty() {
                let statement = client.prepare_cached(MAKE_DURABLE).await?;
                client.query_one(&statement, &[]).await?;
            }
            Ok(stored)
        })
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
