//! A running actor system over a memory store, and hooks to throw at it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use orderhook_actors::order_actor::Hook;
use orderhook_actors::persistence_actor::PersistenceSettings;
use orderhook_actors::ports::Arrival;
use orderhook_actors::registry::OrderSettings;
use orderhook_actors::system::{Actors, SystemSettings};
use orderhook_actors::testkit::MemoryOrderStore;
use orderhook_domain::apply::Rules;
use orderhook_domain::event::{Content, Delivery, Event, EventKind, LineContent, LinePrices};
use orderhook_domain::ids::{DeliveryId, OrderId, ProductId, StoreId};
use orderhook_domain::quantity::Quantity;
use uuid::Uuid;

pub(crate) fn settings() -> SystemSettings {
    SystemSettings {
        orders: OrderSettings {
            queue: 16,
            idle: Duration::from_secs(600),
        },
        persistence: PersistenceSettings {
            actors: 1,
            // What gathers is not to depend on how fast this machine is.
            quick: Duration::ZERO,
            ..PersistenceSettings::default()
        },
        rules: Rules {
            assembly_time: TimeDelta::minutes(60),
        },
        answer_time: Duration::from_secs(2),
    }
}

/// Runs a test inside an actix system, with the actors over this store, on two threads.
pub(crate) fn with_actors<Test: Future<Output = ()>>(
    settings: SystemSettings,
    store: &MemoryOrderStore,
    test: impl FnOnce(Arc<Actors>) -> Test,
) {
    with_actors_on(2, settings, store, test);
}

/// [`with_actors`] on so many threads.
pub(crate) fn with_actors_on<Test: Future<Output = ()>>(
    threads: usize,
    settings: SystemSettings,
    store: &MemoryOrderStore,
    test: impl FnOnce(Arc<Actors>) -> Test,
) {
    actix_rt::System::new().block_on(async {
        let arbiters: Vec<_> = (0..threads).map(|_| actix_rt::Arbiter::new().handle()).collect();
        let actors = Arc::new(Actors::start(
            settings,
            &arbiters,
            Arc::new(store.clone()),
            &(Arc::new(|| {}) as _),
        ));
        test(Arc::clone(&actors)).await;
        // A test that leaves work behind has not waited for what it claims.
        assert!(
            actors.drain(Instant::now() + Duration::from_secs(5)).await,
            "a mailbox did not run empty"
        );
    });
}

pub(crate) fn order_id(text: &str) -> OrderId {
    OrderId::parse(text).unwrap()
}

pub(crate) fn content(quantity: &str) -> Content {
    Content {
        store_id: Some(StoreId::parse("8001").unwrap()),
        lines: vec![LineContent {
            product_id: ProductId::parse("4100017").unwrap(),
            quantity: Some(Quantity::parse_text(quantity).unwrap()),
            original_quantity: None,
            prices: LinePrices::default(),
            weight_grams: None,
            replaced_by: None,
            name: None,
        }],
        ..Content::default()
    }
}

/// A hook with a delivery id of its own and a generous deadline.
pub(crate) fn hook(order: &str, kind: EventKind, content: Content) -> Hook {
    hook_until(order, kind, content, Instant::now() + Duration::from_secs(30))
}

pub(crate) fn hook_until(order: &str, kind: EventKind, content: Content, deadline: Instant) -> Hook {
    let id = DeliveryId(Uuid::now_v7());
    let received_at = DateTime::<Utc>::from_timestamp(1_790_000_000, 0).unwrap();
    let order_id = order_id(order);
    Hook {
        delivery: Arc::new(Delivery {
            id,
            received_at,
            event: Event {
                kind,
                order_id: order_id.clone(),
                sm_timestamp: None,
                content,
            },
        }),
        arrival: Arc::new(Arrival {
            delivery_id: id,
            order_id: Some(order_id),
            kind: Some(kind),
            event_type: None,
            received_at,
            sm_timestamp: None,
            request_id: None,
            replay: None,
            body: Bytes::from_static(b"{}"),
        }),
        deadline,
    }
}

pub(crate) fn created(order: &str) -> Hook {
    hook(order, EventKind::Created, content("2"))
}
