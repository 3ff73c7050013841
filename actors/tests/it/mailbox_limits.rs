//! Bounds that really refuse, and depths that come back to zero.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use orderhook_actors::error::DeliverError;
use orderhook_actors::order_actor::Hook;
use orderhook_actors::ports::Replay;
use orderhook_actors::system::Actors;
use orderhook_actors::testkit::MemoryOrderStore;
use orderhook_domain::event::EventKind;
use orderhook_domain::ids::DeliveryId;
use uuid::Uuid;

use crate::support::{content, created, hook, hook_until, settings, with_actors};

#[test]
fn a_full_order_refuses_at_once_although_every_caller_has_a_handle_of_its_own() {
    let store = MemoryOrderStore::default();
    store.hold();
    with_actors(settings(), &store.clone(), async |actors| {
        let running: Vec<_> = (0..50)
            .map(|_| {
                let registry = actors.orders.clone();
                actix_rt::spawn(async move { registry.deliver(created("H1")).await })
            })
            .collect();
        while actors.mailboxes()[0].refused < 34 {
            tokio::task::yield_now().await;
        }
        let shown = &actors.mailboxes()[0];
        assert_eq!((shown.depth, shown.deepest, shown.refused), (16, 16, 34));
        assert_eq!(actors.orders.busiest(3, 1)[0].depth, 16);
        store.release();
        let results: Vec<_> = join_all(running).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 16);
        assert_eq!(
            results
                .iter()
                .filter(|result| **result == Err(DeliverError::Busy))
                .count(),
            34
        );
        assert_eq!(actors.mailboxes()[0].depth, 0);
    });
}

#[test]
fn a_caller_that_goes_away_cancels_nothing_that_was_admitted() {
    let store = MemoryOrderStore::default();
    store.hold();
    with_actors(settings(), &store.clone(), async |actors| {
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let registry = actors.orders.clone();
                actix_rt::spawn(async move { registry.deliver(hook("H1", EventKind::Paid, content("2"))).await })
            })
            .collect();
        while actors.mailboxes()[0].depth < 8 {
            tokio::task::yield_now().await;
        }
        for caller in &callers {
            caller.abort();
        }
        join_all(callers).await;
        store.release();
        assert!(actors.drain(Instant::now() + Duration::from_secs(5)).await);
        assert_eq!(store.events().len(), 8, "every admitted hook is judged and stored");
        assert_eq!(actors.mailboxes()[0].depth, 0);
    });
}

#[test]
fn a_caller_whose_time_is_over_leaves_no_place_taken() {
    let store = MemoryOrderStore::default();
    store.hold();
    with_actors(settings(), &store.clone(), async |actors| {
        let soon = Instant::now() + Duration::from_millis(20);
        let calls = (0..10).map(|_| {
            actors
                .orders
                .deliver(hook_until("H1", EventKind::Created, content("2"), soon))
        });
        for result in join_all(calls).await {
            assert_eq!(result, Err(DeliverError::Deadline));
        }
        store.release();
        assert!(actors.drain(Instant::now() + Duration::from_secs(5)).await);
        assert_eq!(actors.mailboxes()[0].depth, 0);
        assert!(
            store.events().len() <= 1,
            "only the one that was under way may be stored"
        );
    });
}

#[test]
fn waiting_and_handling_are_measured() {
    let store = MemoryOrderStore::default();
    with_actors(settings(), &store.clone(), async |actors| {
        for _ in 0..3 {
            actors.orders.deliver(created("H1")).await.unwrap();
        }
        let shown = actors.mailboxes();
        for mailbox in &shown[..2] {
            let message = &mailbox.messages[0];
            assert_eq!((message.wait.count, message.handle.count), (3, 3), "{}", mailbox.actor);
            assert!(message.handle.max_micros >= message.handle.mean_micros);
        }
    });
}

#[test]
fn a_thread_that_has_no_end_of_work_is_seen_to_be_behind() {
    const PIECE: Duration = Duration::from_millis(60);
    actix_rt::System::new().block_on(async {
        let actors = Actors::start(
            settings(),
            &[actix_rt::Arbiter::current()],
            Arc::new(MemoryOrderStore::default()),
            &(Arc::new(|| {}) as _),
        );
        assert_eq!(actors.admission.turn_wait(), Duration::ZERO);
        let mut pieces = 0;
        while actors.admission.turn_wait() < PIECE / 2 {
            assert!(pieces < 100, "nobody looks at the turns of this thread");
            pieces += 1;
            let until = Instant::now() + PIECE;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
        }
    });
}

/// A replay has so much more time that by its deadline it has just come.
#[test]
fn a_replay_says_nothing_of_how_long_hooks_wait() {
    let store = MemoryOrderStore::default();
    let answer_time = settings().answer_time;
    let has_waited = answer_time / 2;
    with_actors(settings(), &store.clone(), async |actors| {
        let bound = Instant::now() + Duration::from_secs(60);
        let mut begun = 0;
        for round in 0.. {
            let waiting = |name: &str| {
                let deadline = Instant::now() + answer_time - has_waited;
                hook_until(&format!("{name}{round}"), EventKind::Created, content("2"), deadline)
            };
            let mut replayed = created(&format!("R{round}"));
            Arc::get_mut(&mut replayed.arrival).unwrap().replay = Some(Replay {
                of: DeliveryId(Uuid::now_v7()),
                by: "somebody".to_owned(),
            });
            let deliver = |hook: Hook| {
                let actors = actors.clone();
                actix_rt::spawn(async move { actors.orders.deliver(hook).await })
            };
            store.hold();
            let mut hooks = vec![deliver(waiting("A"))];
            begun += 1;
            store.transactions_begun(begun).await;
            hooks.push(deliver(waiting("B")));
            hooks.push(deliver(replayed));
            while actors.mailboxes()[1].depth < 3 {
                tokio::task::yield_now().await;
            }
            store.release();
            begun += 1;
            for hook in hooks {
                hook.await.unwrap().unwrap();
            }
            if actors.admission.standing() >= has_waited {
                break;
            }
            assert!(Instant::now() < bound, "nobody is seen to wait");
        }
    });
}
