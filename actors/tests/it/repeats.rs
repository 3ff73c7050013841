//! One order, several nodes: the version decides, and a delivery counts once.

use std::sync::Arc;

use orderhook_actors::testkit::MemoryOrderStore;
use orderhook_domain::apply::Outcome;
use orderhook_domain::event::EventKind;

use crate::support::{content, created, hook, order_id, settings, with_actors};

#[test]
fn the_loser_of_a_version_loads_and_judges_again() {
    let store = MemoryOrderStore::default();
    with_actors(settings(), &store.clone(), async |actors| {
        actors.orders.deliver(created("H1")).await.unwrap();
        // Another node marks the order paid; this node's actor still holds the state before it.
        let mut paid = store.order(&order_id("H1")).unwrap();
        paid.version += 1;
        paid.marks.paid_at = Some(chrono::DateTime::UNIX_EPOCH);
        store.overwrite(paid);

        let changed = actors
            .orders
            .deliver(hook("H1", EventKind::Changed, content("1")))
            .await
            .unwrap();
        assert_eq!(changed.outcome, Outcome::Ignored, "closed by the other node");
        let order = store.order(&order_id("H1")).unwrap();
        assert_eq!(order.version, 3);
        assert_eq!(order.marks.paid_at, Some(chrono::DateTime::UNIX_EPOCH));
        assert!(order.conflict);
    });
}

#[test]
fn the_same_delivery_twice_is_one_event() {
    let store = MemoryOrderStore::default();
    with_actors(settings(), &store.clone(), async |actors| {
        let hook = created("H1");
        let first = actors.orders.deliver(hook.clone()).await.unwrap();
        let second = actors.orders.deliver(hook).await.unwrap();
        assert_eq!(first.number, second.number);
        assert_eq!(first.assembly_due_at, second.assembly_due_at);
        assert_eq!(store.events().len(), 1);
        assert_eq!(store.order(&order_id("H1")).unwrap().version, 1);
    });
}

#[test]
fn overlapping_repeats_of_created_make_one_document() {
    let store = MemoryOrderStore::default();
    let mut settings = settings();
    settings.orders.queue = 100;
    with_actors(settings, &store.clone(), async |actors| {
        let actors: Arc<_> = actors;
        let results = futures_util::future::join_all((0..100).map(|_| actors.orders.deliver(created("H1")))).await;
        let number = store.order(&order_id("H1")).unwrap().number;
        assert!(number.is_some());
        for result in results {
            assert_eq!(result.unwrap().number, number);
        }
        let notices = store.events().iter().filter(|event| event.notice.is_some()).count();
        assert_eq!(notices, 1);
    });
}
