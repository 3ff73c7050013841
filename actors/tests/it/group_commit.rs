//! What has gathered while a transaction ran becomes the next one.

use futures_util::future::join_all;
use orderhook_actors::error::DeliverError;
use orderhook_actors::persistence_actor::PersistenceSettings;
use orderhook_actors::ports::StoreError;
use orderhook_actors::testkit::MemoryOrderStore;
use orderhook_domain::apply::Outcome;
use orderhook_domain::event::EventKind;
use std::time::{Duration, Instant};

use crate::support::{content, created, hook_until, order_id, settings, with_actors};

#[test]
fn events_that_gather_during_a_flush_are_one_transaction() {
    let store = MemoryOrderStore::default();
    store.hold();
    let mut settings = settings();
    settings.persistence.further_batch_rows = 41;
    with_actors(settings, &store.clone(), async |actors| {
        let deliver = |name: String| {
            let actors = actors.clone();
            actix_rt::spawn(async move { actors.orders.deliver(created(&name)).await })
        };
        let first = deliver("H0".to_owned());
        store.transactions_begun(1).await;
        let others: Vec<_> = (1..=40).map(|number| deliver(format!("H{number}"))).collect();
        while actors.mailboxes()[1].depth < 41 {
            tokio::task::yield_now().await;
        }
        store.release();
        first.await.unwrap().unwrap();
        for result in join_all(others).await {
            result.unwrap().unwrap();
        }
        assert_eq!(store.batches(), [1, 40]);
    });
}

/// The sizes of the transactions of five events. The first one ends and tells how long it took; the second one does
/// not end before three more events have come, and so many are expected to begin transactions beside it.
fn transactions_beside_a_lone_one(quick: Duration, expected_beside: usize) -> Vec<usize> {
    let store = MemoryOrderStore::default();
    let mut settings = settings();
    settings.persistence.quick = quick;
    with_actors(settings, &store.clone(), async |actors| {
        let deliver = |name: &'static str| {
            let actors = actors.clone();
            actix_rt::spawn(async move { actors.orders.deliver(created(name)).await })
        };
        deliver("H0").await.unwrap().unwrap();
        store.hold();
        let mut hooks = vec![deliver("H1")];
        store.transactions_begun(2).await;
        for (number, name) in (1..).zip(["H2", "H3", "H4"]) {
            hooks.push(deliver(name));
            while actors.mailboxes()[1].depth < 1 + number {
                tokio::task::yield_now().await;
            }
            if number <= expected_beside {
                store.transactions_begun(2 + number).await;
            }
        }
        store.release();
        for hook in hooks {
            hook.await.unwrap().unwrap();
        }
    });
    let mut batches = store.batches();
    batches.sort_unstable();
    batches
}

#[test]
fn where_transactions_are_quick_the_next_does_not_wait_behind_a_lone_one() {
    let batches = transactions_beside_a_lone_one(Duration::MAX, 1);
    assert_eq!(batches, [1, 1, 1, 2], "behind two the next ones gather");
}

#[test]
fn where_transactions_are_slow_those_behind_a_lone_one_gather() {
    let batches = transactions_beside_a_lone_one(Duration::ZERO, 0);
    assert_eq!(batches, [1, 1, 3]);
}

#[test]
fn further_transactions_start_beside_the_first_when_enough_has_gathered() {
    let store = MemoryOrderStore::default();
    store.hold();
    let mut settings = settings();
    settings.persistence.under_way = 3;
    settings.persistence.further_batch_rows = 4;
    with_actors(settings, &store.clone(), async |actors| {
        let deliver = |name: String| {
            let actors = actors.clone();
            actix_rt::spawn(async move { actors.orders.deliver(created(&name)).await })
        };
        let first = deliver("H0".to_owned());
        store.transactions_begun(1).await;
        let others: Vec<_> = (1..=32).map(|number| deliver(format!("H{number}"))).collect();
        store.transactions_begun(3).await;
        while actors.mailboxes()[1].depth < 33 {
            tokio::task::yield_now().await;
        }
        store.release();
        first.await.unwrap().unwrap();
        for result in join_all(others).await {
            result.unwrap().unwrap();
        }
        let mut batches = store.batches();
        batches.sort_unstable();
        assert_eq!(batches, [1, 4, 8, 20], "a fourth one waits for one of the three");
    });
}

#[test]
fn a_batch_is_bounded_by_rows() {
    let store = MemoryOrderStore::default();
    store.hold();
    let mut settings = settings();
    settings.persistence = PersistenceSettings {
        actors: 1,
        batch_rows: 8,
        ..PersistenceSettings::default()
    };
    with_actors(settings, &store.clone(), async |actors| {
        let hooks: Vec<_> = (0..17)
            .map(|number| {
                let actors = actors.clone();
                actix_rt::spawn(async move { actors.orders.deliver(created(&format!("H{number}"))).await })
            })
            .collect();
        while actors.mailboxes()[1].depth < 17 {
            tokio::task::yield_now().await;
        }
        store.release();
        join_all(hooks).await;
        assert!(store.batches().iter().all(|rows| *rows <= 8), "{:?}", store.batches());
        assert_eq!(store.events().len(), 17);
    });
}

#[test]
fn a_row_that_cannot_be_stored_fails_alone() {
    let store = MemoryOrderStore::default();
    store.hold();
    with_actors(settings(), &store.clone(), async |actors| {
        let hooks: Vec<_> = (0..9).map(|number| created(&format!("H{number}"))).collect();
        store.cannot_store(hooks[4].delivery.id);
        let running: Vec<_> = hooks
            .into_iter()
            .map(|hook| {
                let actors = actors.clone();
                actix_rt::spawn(async move { actors.orders.deliver(hook).await })
            })
            .collect();
        while actors.mailboxes()[1].depth < 9 {
            tokio::task::yield_now().await;
        }
        store.release();
        let results = join_all(running).await;
        for (index, result) in results.into_iter().enumerate() {
            let result = result.unwrap();
            if index == 4 {
                assert_eq!(result, Err(DeliverError::Unstorable));
            } else {
                assert!(result.is_ok(), "{index}: {result:?}");
            }
        }
        assert_eq!(store.events().len(), 8);
    });
}

#[test]
fn a_refused_transaction_reaches_every_waiter() {
    let store = MemoryOrderStore::default();
    store.hold();
    with_actors(settings(), &store.clone(), async |actors| {
        let running: Vec<_> = (0..5)
            .map(|number| {
                let actors = actors.clone();
                actix_rt::spawn(async move { actors.orders.deliver(created(&format!("H{number}"))).await })
            })
            .collect();
        while actors.mailboxes()[1].depth < 5 {
            tokio::task::yield_now().await;
        }
        for _ in 0..5 {
            store.fail_next(StoreError::Unavailable("no primary".to_owned()));
        }
        store.release();
        for result in join_all(running).await {
            assert_eq!(result.unwrap(), Err(DeliverError::Unavailable));
        }
        assert!(store.events().is_empty());
    });
}

#[test]
fn a_transaction_that_failed_in_passing_is_sent_again() {
    let store = MemoryOrderStore::default();
    store.fail_next(StoreError::Transient("deadlock detected".to_owned()));
    with_actors(settings(), &store.clone(), async |actors| {
        actors.orders.deliver(created("H1")).await.unwrap();
        assert_eq!(store.batches(), [1, 1]);
        assert_eq!(store.events().len(), 1);
    });
}

#[test]
fn a_lost_reply_is_settled_by_the_delivery_id() {
    let store = MemoryOrderStore::default();
    store.lose_next_reply(StoreError::Transient("connection closed".to_owned()));
    with_actors(settings(), &store.clone(), async |actors| {
        let acknowledged = actors.orders.deliver(created("H1")).await.unwrap();
        assert_eq!(acknowledged.number, store.order(&order_id("H1")).unwrap().number);
        assert_eq!(store.events().len(), 1);
    });
}

#[test]
fn past_its_deadline_a_hook_is_not_sent() {
    let store = MemoryOrderStore::default();
    store.hold();
    with_actors(settings(), &store.clone(), async |actors| {
        let under_way = {
            let actors = actors.clone();
            actix_rt::spawn(async move { actors.orders.deliver(created("H0")).await })
        };
        store.transactions_begun(1).await;
        let soon = Instant::now() + Duration::from_millis(20);
        let late = actors
            .orders
            .deliver(hook_until("H1", EventKind::Created, content("2"), soon))
            .await;
        assert_eq!(late, Err(DeliverError::Deadline));
        store.release();
        under_way.await.unwrap().unwrap();
        assert!(actors.drain(Instant::now() + Duration::from_secs(5)).await);
        assert_eq!(store.events().len(), 1, "the late hook must not have been stored");
    });
}

#[test]
fn a_transaction_that_never_ends_is_given_up_and_its_order_goes_on() {
    let store = MemoryOrderStore::default();
    store.hold();
    let mut settings = settings();
    settings.persistence.patience = Duration::ZERO;
    with_actors(settings, &store.clone(), async |actors| {
        let created_until = |deadline| hook_until("H1", EventKind::Created, content("2"), deadline);
        let deliver = |deadline| {
            let actors = actors.clone();
            actix_rt::spawn(async move { actors.orders.deliver(created_until(deadline)).await })
        };
        let under_way = deliver(Instant::now() + Duration::from_millis(500));
        store.transactions_begun(1).await;
        assert_eq!(under_way.await.unwrap(), Err(DeliverError::Deadline));
        let limit = Instant::now() + Duration::from_secs(20);
        while actors.mailboxes().iter().any(|mailbox| mailbox.depth > 0) {
            assert!(Instant::now() < limit, "the order stands still");
            tokio::task::yield_now().await;
        }
        // It commits all the same, and whoever comes then is judged by what it left.
        store.release();
        while store.events().is_empty() {
            assert!(Instant::now() < limit, "what was sent is never cancelled");
            tokio::task::yield_now().await;
        }
        let again = deliver(limit).await.unwrap().unwrap();
        assert_eq!(again.outcome, Outcome::Duplicate);
        assert_eq!(
            (store.events().len(), store.order(&order_id("H1")).unwrap().version),
            (2, 2)
        );
    });
}
