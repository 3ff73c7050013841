//! The order store port on PostgreSQL: one statement per group commit.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use orderhook_actors::ports::{Answered, Commit, Committed, OrderStore, StoreError};
use orderhook_domain::ids::{DeliveryId, OrderId, OrderNumber};
use orderhook_domain::order::{Marks, Memory, Order};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::db::batch::{CommitColumns, StockColumns, commit_statement};
use crate::db::stored_json::StoredJson;
use crate::db::{Database, with_causes};

const LOAD_ORDER: &str = include_str!("../../sql/queries/load_order.sql");
const RECORD_ANSWERS: &str = include_str!("../../sql/queries/record_answers.sql");

/// Writes nothing but a word in the log of the database, whose commit is durable only when everything before
/// it is, on the standby as well.
const MAKE_DURABLE: &str = "SELECT pg_logical_emit_message(true, 'orderhook', '')";

/// A persistence actor has at most two transactions under way.
const WRITER_CONNECTIONS: usize = 2;

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

    fn for_writer(self: Arc<Self>) -> Arc<dyn OrderStore> {
        match self.database.with_own_pool(WRITER_CONNECTIONS) {
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
            document
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

async fn commit(database: &Database, node: &str, batch: &[Arc<Commit>]) -> Result<Vec<Committed>, StoreError> {
    let mut order: Vec<usize> = (0..batch.len()).collect();
    order.sort_unstable_by_key(|index| batch[*index].arrival.order_id.as_ref().map(OrderId::as_str));
    let mut columns = CommitColumns::with_capacity(batch.len());
    let mut stock = StockColumns::default();
    let mut deliveries = HashSet::with_capacity(batch.len());
    let mut committed = vec![Committed::Stale; batch.len()];
    for index in order {
        // Two tries of one delivery that is about no order can meet in one batch.
        if !deliveries.insert(batch[index].arrival.delivery_id) {
            committed[index] = Committed::AlreadyStored;
            continue;
        }
        let position = i32::try_from(index).map_err(|_| StoreError::Data("the batch is too large".to_owned()))?;
        columns.push(position, &batch[index])?;
        stock.push(position, &batch[index]);
    }
    let has_notices = columns.has_notices();
    let statement = commit_statement(!stock.is_empty(), has_notices);
    let rows = database
        .limited(async |client| {
            let statement = client.prepare_cached(statement).await?;
            let rows = client.query(&statement, &columns.parameters(&node, &stock)).await?;
            // A delivery that is there already may have been committed by this server alone: its wait for the
            // standby can have ended with its session, or with a crash. A statement that wrote anything has
            // waited for all of it; this one may have written nothing.
            if rows.iter().any(|row| !row.get::<_, bool>("is_fresh")) {
                let statement = client.prepare_cached(MAKE_DURABLE).await?;
                client.query_one(&statement, &[]).await?;
            }
            Ok(rows)
        })
        .await?;

    // The statement answers every position; one that it did not would be stale as far as we know.
    for row in &rows {
        let position: i32 = row.get("position");
        let Some(slot) = usize::try_from(position)
            .ok()
            .and_then(|index| committed.get_mut(index))
        else {
            continue;
        };
        *slot = if !row.get::<_, bool>("is_fresh") {
            Committed::AlreadyStored
        } else if row.get::<_, bool>("is_accepted") {
            let number: Option<&str> = row.get("number");
            Committed::Stored {
                number: number.map(|number| OrderNumber(number.into())),
                notices: if has_notices {
                    u32::try_from(row.get::<_, i64>("notices")).unwrap_or(u32::MAX)
                } else {
                    0
                },
            }
        } else {
            Committed::Stale
        };
    }
    Ok(committed)
}
