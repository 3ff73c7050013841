//! What SM will send: the events of many orders, repeated, dropped, permuted and mixed with each other.

use orderhook_domain::event::{Event, EventKind};
use orderhook_domain::ids::OrderId;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::domain::strategies;
use crate::sent::Planned;
use crate::wire;

/// How many orders are talked about at once. With the hooks in flight this decides how many of one
/// order are.
const ORDERS_AT_ONCE: std::ops::RangeInclusive<usize> = 4..=24;

/// Everything that is sent, in the order of sending.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) orders: usize,
    pub(crate) hooks: Vec<Planned>,
}

/// The seed of this run: that of `ORDERHOOK_HISTORY_SEED`, else a new one.
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("ORDERHOOK_HISTORY_SEED") {
        Ok(given) => given.parse().expect("ORDERHOOK_HISTORY_SEED is a whole number"),
        Err(_) => rand::random(),
    };
    println!("ORDERHOOK_HISTORY_SEED={seed}");
    seed
}

pub(crate) fn order_id(order: usize) -> OrderId {
    OrderId::parse(&format!("H{order:06}")).unwrap()
}

impl Plan {
    pub(crate) fn of_seed(seed: u64, orders: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut runner = TestRunner::new_with_rng(
            Config::default(),
            TestRng::from_seed(RngAlgorithm::ChaCha, &rng.random::<[u8; 32]>()),
        );
        let strategy = events();
        let mut histories: Vec<Vec<Planned>> = Vec::new();
        for order in 0..orders {
            let events = strategy.new_tree(&mut runner).unwrap().current();
            histories.push(sent(order, events, &mut rng));
        }
        let mut hooks = Vec::new();
        while !histories.is_empty() {
            let at_once = rng.random_range(ORDERS_AT_ONCE).min(histories.len());
            hooks.extend(mixed(histories.drain(..at_once), &mut rng));
        }
        Self { seed, orders, hooks }
    }
}

/// 3 to 12 events of one order. Usually created comes, and usually the order is shipped or cancelled in
/// the end; everything else is drawn from all that SM may ever say.
fn events() -> BoxedStrategy<Vec<Event>> {
    let end = prop_oneof![
        4 => Just(vec![EventKind::Paid, EventKind::Received, EventKind::Delivered]),
        2 => Just(vec![EventKind::Received]),
        2 => Just(vec![EventKind::Cancelled]),
        1 => Just(vec![EventKind::Delivered, EventKind::Cancelled]),
        3 => Just(Vec::new()),
    ];
    (strategies::created(), end, proptest::bool::weighted(0.95))
        .prop_flat_map(|(created, end, has_created)| {
            let end: Vec<_> = end.into_iter().map(strategies::later).collect();
            let first = usize::from(has_created);
            let (least, most) = (3_usize.saturating_sub(end.len() + first), 12 - end.len() - first);
            let between = vec(strategies::any_event(&created), least..=most);
            (Just(created), between, end, Just(has_created))
        })
        .prop_map(|(created, between, end, has_created)| {
            let created = has_created.then_some(created);
            created.into_iter().chain(between).chain(end).collect()
        })
        .boxed()
}

/// The hooks of one order: in the order of events, nearly so, or in any order.
fn sent(order: usize, events: Vec<Event>, rng: &mut StdRng) -> Vec<Planned> {
    let disorder = [5, 20, 60, 1000][rng.random_range(0..4)];
    let created_is_late = rng.random_bool(0.15);
    let mut sent: Vec<(u32, Planned)> = Vec::new();
    for (place, event) in (0..).step_by(10).zip(events) {
        let event = Event {
            order_id: order_id(order),
            ..event
        };
        // A body is lost for good now and then; more often SM has missed the answer.
        let times = [0, 1, 1, 1, 1, 1, 1, 1, 2, 3][rng.random_range(0..10)];
        for _ in 0..times {
            let planned = Planned {
                order,
                body: wire::body(&event, rng).into(),
                event: event.clone(),
                twice: rng.random_bool(0.05),
            };
            let delay = if created_is_late && planned.event.kind == EventKind::Created {
                50
            } else {
                0
            };
            sent.push((place + delay + rng.random_range(0..disorder), planned));
        }
    }
    sent.sort_by_key(|(place, _)| *place);
    sent.into_iter().map(|(_, planned)| planned).collect()
}

/// Shuffles several orders into each other and keeps the order of each.
fn mixed(histories: impl Iterator<Item = Vec<Planned>>, rng: &mut StdRng) -> Vec<Planned> {
    let mut sources: Vec<_> = histories.map(Vec::into_iter).collect();
    let mut turns: Vec<usize> = Vec::new();
    for (index, hooks) in sources.iter().enumerate() {
        turns.extend(std::iter::repeat_n(index, hooks.len()));
    }
    turns.shuffle(rng);
    turns.into_iter().filter_map(|source| sources[source].next()).collect()
}
