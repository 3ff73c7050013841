//! A panic costs one actor, never an order and never an event.

use orderhook_actors::testkit::MemoryOrderStore;
use orderhook_domain::event::EventKind;

use crate::support::{content, created, hook, order_id, settings, with_actors, with_actors_on};

#[test]
fn a_panicking_actor_is_replaced_and_the_event_is_judged_by_the_next_one() {
    let store = MemoryOrderStore::default();
    store.panic_on_load(order_id("H1"));
    with_actors(settings(), &store.clone(), async |actors| {
        let paid = hook("H1", EventKind::Paid, content("2"));
        actors.orders.deliver(paid).await.unwrap();
        assert_eq!(store.events().len(), 1);
        assert_eq!(store.loads(), 2);
        actors.orders.deliver(created("H1")).await.unwrap();
        assert_eq!(actors.orders.active(), 1);
        assert_eq!(actors.mailboxes()[0].depth, 0);
    });
}

#[test]
fn other_orders_of_the_same_thread_do_not_notice() {
    let store = MemoryOrderStore::default();
    store.panic_on_load(order_id("H1"));
    with_actors_on(1, settings(), &store.clone(), async |actors| {
        for number in 2..6 {
            actors.orders.deliver(created(&format!("H{number}"))).await.unwrap();
        }
        let paid = hook("H1", EventKind::Paid, content("2"));
        actors.orders.deliver(paid).await.unwrap();
        for number in 2..6 {
            let paid = hook(&format!("H{number}"), EventKind::Paid, content("2"));
            actors.orders.deliver(paid).await.unwrap();
        }
        assert_eq!(store.loads(), 2, "the others kept their state");
    });
}

#[test]
fn those_who_wait_behind_a_transaction_that_panics_are_committed() {
    let store = MemoryOrderStore::default();
    store.hold();
    with_actors_on(1, settings(), &store.clone(), async |actors| {
        let deliver = |id: &'static str| {
            let actors = actors.clone();
            actix_rt::spawn(async move { actors.orders.deliver(created(id)).await })
        };
        let lost = deliver("H1");
        store.transactions_begun(1).await;
        let waiting = ["H2", "H3"].map(deliver);
        while actors.mailboxes()[1].depth < 3 {
            tokio::task::yield_now().await;
        }
        store.panic_on_commit();
        store.release();
        lost.await.unwrap().unwrap_err();
        for waited in waiting {
            waited.await.unwrap().unwrap();
        }
        assert_eq!(store.events().len(), 2);
        assert_eq!(actors.mailboxes()[1].depth, 0);
    });
}
