//! The group commit alone: the service's own store on one connection, without HTTP and actors.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use orderhook::db::order_store::PostgresOrderStore;
use orderhook::db::{Database, DatabaseSettings};
use orderhook_actors::ports::{Arrival, Commit, Committed, OrderStore};
use orderhook_domain::apply::{Rules, apply};
use orderhook_domain::event::Delivery;
use orderhook_domain::ids::DeliveryId;
use orderhook_domain::order::Order;
use orderhook_domain::protocol::{self, ParsedEvent};
use uuid::Uuid;

use crate::bodies::{EVENTS, Script};
use crate::cluster::Cluster;

/// Commits batches of so many events, one after the other, and returns the microseconds of one batch.
pub(crate) async fn batches(cluster: &Cluster, database: &str, rows: usize, time: Duration) -> f64 {
    let settings = DatabaseSettings {
        url: cluster.url(database).into(),
        node: "bench".to_owned(),
        pool_size: 1,
    };
    let database = Database::open(&settings, tokio::runtime::Handle::current()).unwrap();
    let store = PostgresOrderStore::new(database, "bench".into());
    let mut script = Script::new(8);
    let mut first = 5_000_000_000;
    let (mut spent, mut committed) = (Duration::ZERO, 0_u32);
    while spent < time {
        let mut orders: Vec<Option<Arc<Order>>> = vec![None; rows];
        for event in 0..EVENTS.len() {
            let commits: Vec<Arc<Commit>> = (0..rows)
                .map(|row| Arc::new(commit(&mut script, first + row as u64, event, orders[row].take())))
                .collect();
            for (order, commit) in orders.iter_mut().zip(&commits) {
                order.clone_from(&commit.order);
            }
            let started = Instant::now();
            let stored = store.commit(commits).await.unwrap();
            spent += started.elapsed();
            committed += 1;
            assert!(stored.iter().all(|stored| matches!(stored, Committed::Stored { .. })));
        }
        first += rows as u64;
    }
    spent.as_secs_f64() * 1e6 / f64::from(committed)
}

fn commit(script: &mut Script, number: u64, event: usize, before: Option<Arc<Order>>) -> Commit {
    let body = Bytes::copy_from_slice(script.body(number, event));
    let parsed = protocol::parse(&body).unwrap();
    let ParsedEvent::Order(sent) = parsed.event else {
        panic!("every event has an order");
    };
    let order_id = sent.order_id.clone();
    let before = before.unwrap_or_else(|| Arc::new(Order::unknown(order_id.clone())));
    let delivery_id = DeliveryId(Uuid::now_v7());
    let delivery = Delivery {
        id: delivery_id,
        received_at: Utc::now(),
        event: sent,
    };
    let rules = Rules {
        assembly_time: TimeDelta::minutes(60),
    };
    let transition = apply(&before, &delivery, rules, &HashSet::new()).unwrap();
    let keeps_document = before.version > 0
        && transition
            .order
            .as_ref()
            .is_some_and(|order| order.document == before.document);
    Commit {
        arrival: Arc::new(Arrival {
            delivery_id,
            order_id: Some(order_id),
            kind: Some(parsed.kind),
            event_type: Some(parsed.name),
            received_at: delivery.received_at,
            sm_timestamp: None,
            request_id: Some(format!("{event}{number}")),
            replay: None,
            body,
        }),
        outcome: transition.outcome,
        notes: transition.notes,
        errors: Vec::new(),
        order: transition.order.map(Arc::new),
        keeps_document,
        stock: transition.stock,
        notice: transition.notice,
        deadline: Instant::now() + Duration::from_secs(60),
    }
}
