//! What operations read of the registry: which orders, and at which price.

use std::sync::mpsc;

use chrono::TimeDelta;
use orderhook_domain::apply::Rules;

use super::*;
use crate::persistence_actor::PersistenceSettings;
use crate::system::{Actors, SystemSettings};
use crate::testkit::MemoryOrderStore;

#[test]
fn an_order_that_stands_still_is_not_hidden_behind_busier_ones() {
    let busy_order = |id: &str, depth: usize, standing_millis: u64| BusyOrder {
        order_id: OrderId::parse(id).unwrap(),
        depth,
        standing_millis,
    };
    let mut busy = vec![
        busy_order("STUCK", 1, 60_000),
        busy_order("QUICK", 1, 1),
        busy_order("A", 20, 5),
        busy_order("SLOW", 2, 900),
        busy_order("B", 30, 4),
        busy_order("C", 20, 70_000),
    ];
    pick(&mut busy, 3, 2);
    let ids: Vec<&str> = busy.iter().map(|order| order.order_id.as_str()).collect();
    assert_eq!(ids, ["B", "A", "C", "STUCK", "SLOW"]);
    pick(&mut busy, 10, 10);
    assert_eq!(busy.len(), 5);
}

const ORDERS: usize = 100_000;
/// Enough to be measured.
const LOOKS: u32 = 20_000;

/// The processor's time that this thread has had.
fn thread_cpu() -> Duration {
    // The kernel adds it up when the thread comes to it.
    std::thread::yield_now();
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = schedstat.split(' ').next().unwrap();
    Duration::from_nanos(nanos.parse().unwrap())
}

#[test]
fn a_look_at_a_hundred_thousand_orders_takes_no_lock_of_theirs_and_hardly_any_time() {
    let settings = SystemSettings {
        answer_time: Duration::from_secs(2),
        orders: OrderSettings::default(),
        persistence: PersistenceSettings::default(),
        rules: Rules {
            assembly_time: TimeDelta::minutes(60),
        },
    };
    actix_rt::System::new().block_on(async {
        let store = Arc::new(MemoryOrderStore::default());
        let actors = Arc::new(Actors::start(
            settings,
            &[actix_rt::Arbiter::new().handle()],
            store,
            &(Arc::new(|| {}) as _),
        ));
        let registry = actors.orders.clone();
        for number in 0..ORDERS {
            registry.find_or_start(&OrderId::parse(&format!("H{number}")).unwrap());
        }
        // Every part of the map is locked, as if each were being changed at this very moment.
        let held: Vec<_> = registry.0.orders.iter_mut().collect();
        let (looked, done) = mpsc::channel();
        let looking = Arc::clone(&actors);
        // A look that waits for a lock would wait for ever: it has a thread of its own, and a bound.
        std::thread::spawn(move || {
            let began = thread_cpu();
            let mut seen = 0;
            for _ in 0..LOOKS {
                seen = looking.orders.active();
                assert_eq!(looking.mailboxes()[0].bound, ORDERS * OrderSettings::default().queue);
            }
            // The test has given up, or is told.
            let _ = looked.send((seen, (thread_cpu() - began) / LOOKS));
        });
        let (seen, each) = done
            .recv_timeout(Duration::from_secs(60))
            .expect("a look waits for a lock that hooks need");
        assert_eq!((seen, held.len()), (ORDERS, ORDERS));
        drop(held);
        eprintln!("a look at the mailboxes of {ORDERS} orders takes {each:?} of a processor");
        // Walking the orders takes twenty milliseconds and more; this bound is hundreds of times what a look takes.
        assert!(each < Duration::from_millis(5), "{each:?}");
    });
}
