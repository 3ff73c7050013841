//! The order store as a writer uses it, on a real PostgreSQL.

#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use futures_util::future::try_join_all;
use orderhook::db::order_store::PostgresOrderStore;
use orderhook_actors::ports::{Arrival, Commit, Committed, OrderStore};
use orderhook_domain::apply::Outcome;
use orderhook_domain::ids::DeliveryId;
use support::database::TestDatabase;
use uuid::Uuid;

/// A body that nobody could read: the least that can be committed.
fn unreadable() -> Arc<Commit> {
    Arc::new(Commit {
        arrival: Arc::new(Arrival {
            delivery_id: DeliveryId(Uuid::now_v7()),
            order_id: None,
            kind: None,
            event_type: None,
            received_at: Utc::now(),
            sm_timestamp: None,
            request_id: None,
            replay: None,
            body: Bytes::from_static(b"{"),
        }),
        outcome: Outcome::Rejected,
        notes: Vec::new(),
        errors: Vec::new(),
        order: None,
        keeps_document: false,
        stock: Vec::new(),
        notice: None,
        deadline: Instant::now() + Duration::from_secs(60),
    })
}

/// So it is after the connection that all used has broken.
#[actix_rt::test]
async fn no_batch_waits_for_a_connection_when_all_need_one_at_once() {
    const UNDER_WAY: usize = 3;
    let database = TestDatabase::create().await;
    let store = PostgresOrderStore::new(database.open(), Arc::from("node"));
    let writer = Arc::new(store).for_writer(UNDER_WAY);
    let mut client = database.client().await;
    let held = client.transaction().await.unwrap();
    held.batch_execute("LOCK TABLE order_arrivals IN EXCLUSIVE MODE")
        .await
        .unwrap();
    let committing = (0..UNDER_WAY).map(|_| writer.commit(vec![unreadable()]));
    let committing = actix_rt::spawn(try_join_all(committing));
    let waiting = "SELECT FROM pg_locks WHERE relation = 'order_arrivals'::regclass AND NOT granted";
    while held.query(waiting, &[]).await.unwrap().len() < UNDER_WAY && !committing.is_finished() {
        tokio::task::yield_now().await;
    }
    held.commit().await.unwrap();
    let committed = committing.await.unwrap().unwrap();
    assert_eq!(committed.concat(), vec![Committed::Stored { number: None }; UNDER_WAY]);
}
