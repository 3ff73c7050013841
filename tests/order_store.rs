//! The order store as a writer uses it, on a real PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use futures_util::future::try_join_all;
use orderhook::db::order_store::PostgresOrderStore;
use orderhook_actors::ports::{Arrival, Commit, Committed, OrderStore};
use orderhook_domain::apply::{Outcome, Rules, apply};
use orderhook_domain::event::Delivery;
use orderhook_domain::ids::DeliveryId;
use orderhook_domain::order::Order;
use orderhook_domain::protocol::{self, ParsedEvent};
use support::database::TestDatabase;
use uuid::Uuid;

fn arrival(body: Bytes) -> Arrival {
    Arrival {
        delivery_id: DeliveryId(Uuid::now_v7()),
        order_id: None,
        kind: None,
        event_type: None,
        received_at: Utc::now(),
        sm_timestamp: None,
        request_id: None,
        replay: None,
        body,
    }
}

/// A body that nobody could read: the least that can be committed.
fn unreadable() -> Arc<Commit> {
    Arc::new(Commit {
        arrival: Arc::new(arrival(Bytes::from_static(b"{"))),
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

/// The most batches of a writer in these tests.
const UNDER_WAY: usize = 3;

/// A writer of whose batches each needed a connection, because none was there yet. So it is after the one that all
/// used has broken.
async fn writer_with_all_connections(database: &TestDatabase) -> Arc<dyn OrderStore> {
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
    writer
}

#[actix_rt::test]
async fn no_batch_waits_for_a_connection_when_all_need_one_at_once() {
    let database = TestDatabase::create().await;
    writer_with_all_connections(&database).await;
}

/// Another one may never have planned the statement.
#[actix_rt::test]
async fn a_lone_batch_takes_the_connection_that_was_used_last() {
    let database = TestDatabase::create().await;
    let writer = writer_with_all_connections(&database).await;
    let client = database.client().await;
    let used = async || {
        let used = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                    AND query LIKE '/* group commit */%' ORDER BY state_change DESC";
        let used = client.query(used, &[]).await.unwrap();
        used.iter().map(|row| row.get(0)).collect::<Vec<i32>>()
    };
    writer.commit(vec![unreadable()]).await.unwrap();
    let before = used().await;
    for _ in 0..UNDER_WAY {
        writer.commit(vec![unreadable()]).await.unwrap();
        assert_eq!(used().await, before);
    }
    assert_eq!(before.len(), UNDER_WAY);
}

/// The first event of an order.
fn created(order_id: &str, store_id: &str) -> Arc<Commit> {
    event("order.created", order_id, store_id, None)
}

/// One event of an order that was like this `before`.
fn event(name: &str, order_id: &str, store_id: &str, before: Option<&Order>) -> Arc<Commit> {
    let body = serde_json::json!({"event_type": name, "payload": {
        "originalOrderId": order_id, "store_id": store_id,
        "positions": [{"id": "4100017", "quantity": 2, "price": "89.90"}]}});
    let body = Bytes::from(body.to_string());
    let parsed = protocol::parse(&body).unwrap();
    let ParsedEvent::Order(event) = parsed.event else {
        panic!("{name} has an order");
    };
    let arrival = Arrival {
        order_id: Some(event.order_id.clone()),
        kind: Some(parsed.kind),
        event_type: Some(parsed.name),
        ..arrival(body)
    };
    let unknown = Order::unknown(event.order_id.clone());
    let before = before.unwrap_or(&unknown);
    let delivery = Delivery {
        id: arrival.delivery_id,
        received_at: arrival.received_at,
        event,
    };
    let rules = Rules {
        assembly_time: TimeDelta::minutes(60),
    };
    let transition = apply(before, &delivery, rules, &HashSet::new()).unwrap();
    Arc::new(Commit {
        arrival: Arc::new(arrival),
        outcome: transition.outcome,
        notes: transition.notes,
        errors: Vec::new(),
        order: transition.order.map(Arc::new),
        keeps_document: false,
        stock: transition.stock,
        notice: transition.notice,
        deadline: Instant::now() + Duration::from_secs(60),
    })
}

#[actix_rt::test]
async fn one_batch_tells_the_chats_of_each_order_s_own_store() {
    let database = TestDatabase::create().await;
    let store = PostgresOrderStore::new(database.open(), Arc::from("node"));
    let client = database.client().await;
    let chats = "INSERT INTO chats (store_id, role, chat_id) VALUES \
                 ('57', 'pickers', 1), ('57', 'store', 2), ('58', 'pickers', 3), ('58', 'store', 3), \
                 ('58', 'ops', 4), ('*', 'pickers', 9)";
    client.batch_execute(chats).await.unwrap();
    client
        .batch_execute("INSERT INTO chats (store_id, role, chat_id, disabled_at) VALUES ('59', 'store', 5, now())")
        .await
        .unwrap();

    let orders = [("O1", "57"), ("O2", "58"), ("O3", "59"), ("O4", "57")];
    let batch = orders.map(|(order_id, store_id)| created(order_id, store_id)).to_vec();
    store.commit(batch).await.unwrap();

    let notices = "SELECT order_id, store_id, role, chat_id, state FROM notices ORDER BY order_id, chat_id";
    let notices = client.query(notices, &[]).await.unwrap();
    let notices: Vec<(&str, &str, &str, Option<i64>, &str)> = notices
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)))
        .collect();
    let expected = [
        ("O1", "57", "pickers", Some(1), "pending"),
        ("O1", "57", "store", Some(2), "pending"),
        ("O1", "57", "pickers", Some(9), "pending"),
        ("O2", "58", "pickers", Some(3), "pending"),
        ("O2", "58", "pickers", Some(9), "pending"),
        ("O3", "59", "pickers", Some(9), "pending"),
        ("O3", "59", "store", None, "no_chat"),
        ("O4", "57", "pickers", Some(1), "pending"),
        ("O4", "57", "store", Some(2), "pending"),
        ("O4", "57", "pickers", Some(9), "pending"),
    ];
    assert_eq!(notices, expected);
}

/// What the parts of the statement share are the numbers of their parameters.
#[actix_rt::test]
async fn a_batch_of_everything_writes_the_stock_of_one_order_and_the_notices_of_another() {
    let database = TestDatabase::create().await;
    let store = PostgresOrderStore::new(database.open(), Arc::from("node"));
    let client = database.client().await;
    let chats = "INSERT INTO chats (store_id, role, chat_id) VALUES ('57', 'pickers', 1), ('57', 'store', 2)";
    client.batch_execute(chats).await.unwrap();
    let first = created("O1", "57");
    store.commit(vec![Arc::clone(&first)]).await.unwrap();
    client.batch_execute("DELETE FROM notices").await.unwrap();

    let received = event("order.received", "O1", "57", first.order.as_deref());
    let committed = store.commit(vec![created("O2", "57"), received, unreadable()]).await;

    let committed = committed.unwrap();
    assert!(
        committed.iter().all(|one| matches!(one, Committed::Stored { .. })),
        "{committed:?}"
    );
    let written = "SELECT order_id, concat_ws(' ', 'version', version) FROM orders \
                   UNION ALL SELECT order_id, concat_ws(' ', store_id, product_id, quantity) FROM stock_movements \
                   UNION ALL SELECT order_id, concat_ws(' ', store_id, role, chat_id, kind) FROM notices \
                   UNION ALL SELECT coalesce(order_id, 'none'), event FROM order_arrivals \
                   ORDER BY 1, 2";
    let written = client.query(written, &[]).await.unwrap();
    let written: Vec<(&str, &str)> = written.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [
        ("O1", "57 4100017 -2.000"),
        ("O1", "created"),
        ("O1", "received"),
        ("O1", "version 2"),
        ("O2", "57 pickers 1 new"),
        ("O2", "57 store 2 new"),
        ("O2", "created"),
        ("O2", "version 1"),
        ("none", "unreadable"),
    ];
    assert_eq!(written, expected);
}
