//! Actors leave the memory, and no event is ever lost to that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use orderhook_actors::testkit::MemoryOrderStore;
use orderhook_domain::event::EventKind;

use crate::support::{content, created, hook, order_id, settings, with_actors};

#[test]
fn a_finished_order_retires_and_comes_back_from_its_row() {
    let store = MemoryOrderStore::default();
    with_actors(settings(), &store.clone(), async |actors| {
        actors.orders.deliver(created("H1")).await.unwrap();
        assert_eq!(actors.orders.retire_finished(), 0, "an open order stays");
        assert_eq!(
            actors.orders.retire_idle(),
            0,
            "one with something to do lately as well"
        );
        actors
            .orders
            .deliver(hook("H1", EventKind::Delivered, content("2")))
            .await
            .unwrap();
        // The service looks by itself once a second; either look retires it.
        while actors.orders.active() > 0 {
            actors.orders.retire_finished();
            tokio::task::yield_now().await;
        }
        let again = actors.orders.deliver(created("H1")).await.unwrap();
        assert_eq!(again.number, store.order(&order_id("H1")).unwrap().number);
        assert_eq!(
            store.loads(),
            1,
            "a created is taken for the first event until its version is lost"
        );
    });
}

#[test]
fn an_idle_order_retires() {
    let store = MemoryOrderStore::default();
    let mut settings = settings();
    settings.orders.idle = Duration::ZERO;
    with_actors(settings, &store.clone(), async |actors| {
        actors.orders.deliver(created("H1")).await.unwrap();
        while actors.orders.active() > 0 {
            actors.orders.retire_idle();
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn an_event_that_races_with_retirement_is_never_lost() {
    let store = MemoryOrderStore::default();
    let mut settings = settings();
    settings.orders.idle = Duration::ZERO;
    with_actors(settings, &store.clone(), async |actors| {
        let running = Arc::new(AtomicBool::new(true));
        let retired = Arc::new(AtomicUsize::new(0));
        let retiring = {
            let (registry, running, retired) = (actors.orders.clone(), Arc::clone(&running), Arc::clone(&retired));
            std::thread::spawn(move || {
                while running.load(Ordering::Relaxed) {
                    retired.fetch_add(registry.retire_idle(), Ordering::Relaxed);
                }
            })
        };
        let mut delivered = 0;
        while retired.load(Ordering::Relaxed) < 50 {
            actors
                .orders
                .deliver(hook("H1", EventKind::Created, content("2")))
                .await
                .unwrap();
            delivered += 1;
        }
        running.store(false, Ordering::Relaxed);
        retiring.join().unwrap();
        assert_eq!(store.events().len(), delivered);
        assert_eq!(
            store.order(&order_id("H1")).unwrap().version,
            i64::try_from(delivered).unwrap()
        );
    });
}
