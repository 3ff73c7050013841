//! Random orders and what happens to them: few values, so that repeats and contradictions are common.

use chrono::{DateTime, FixedOffset};
use orderhook_domain::event::{CancelReason, Content, Event, EventKind, LineContent, LinePrices, Total, Window};
use orderhook_domain::ids::StoreId;
use orderhook_domain::money::Kopecks;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::build::{event, quantity, sku, stamp};

fn amount() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => select(vec!["1", "2", "3"]), 1 => Just("0"), 1 => select(vec!["0.742", "1.5", "1000000"])]
}

fn kopecks() -> impl Strategy<Value = Option<Kopecks>> {
    option::of(select(vec![0, 8990, 9990]).prop_map(Kopecks::new))
}

fn prices() -> impl Strategy<Value = LinePrices> {
    (kopecks(), kopecks(), kopecks(), kopecks()).prop_map(
        |(price, discount_price, total_price, total_discount_price)| LinePrices {
            price,
            discount_price,
            total_price,
            total_discount_price,
        },
    )
}

/// Replacements point along chains, in circles, at themselves and at nothing.
fn line() -> BoxedStrategy<LineContent> {
    let replaced_by = prop_oneof![3 => Just(None), 1 => select(vec!["a", "b", "c", "nowhere"]).prop_map(Some)];
    (
        select(vec!["a", "b", "c", "007", "7"]),
        amount(),
        option::weighted(0.2, amount()),
        prices(),
        option::weighted(0.2, select(vec!["742", "1500"])),
        replaced_by,
        option::weighted(0.2, select(vec!["Milk", "Bread"])),
    )
        .prop_map(|(id, now, original, prices, grams, replaced_by, name)| LineContent {
            product_id: sku(id),
            quantity: Some(quantity(now)),
            original_quantity: original.map(quantity),
            prices,
            weight_grams: grams.map(Into::into),
            replaced_by: replaced_by.map(sku),
            name: name.map(Into::into),
        })
        .boxed()
}

fn window() -> impl Strategy<Value = Window> {
    let time = || option::weighted(0.3, (0..3_i64).prop_map(stamp));
    (time(), time(), option::weighted(0.2, any::<bool>())).prop_map(|(from, to, is_planned)| Window {
        from,
        to,
        is_planned,
    })
}

fn total() -> impl Strategy<Value = Total> {
    (kopecks(), kopecks()).prop_map(|(price, discount_price)| Total { price, discount_price })
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    option::weighted(0.2, select(words).prop_map(str::to_owned))
}

fn person() -> impl Strategy<Value = Option<serde_json::Map<String, serde_json::Value>>> {
    let text = |values: &[&'static str]| option::of(select(values.to_vec()));
    let parts = (text(&["Anna", "Boris"]), text(&["+79000000001", "+79000000002"]));
    let object = parts.prop_map(|(name, phone)| {
        let keys = [("name", name), ("phone", phone)];
        keys.into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.into())))
            .collect()
    });
    option::weighted(0.2, object)
}

prop_compose! {
    /// A payload with this many lines and any part of the rest.
    fn whole_content(lines: std::ops::RangeInclusive<usize>)(
        lines in vec(line(), lines).boxed(),
        window in window(),
        total in total(),
        comment in word(&["", "call", "ring"]),
        replacement_policy in word(&["replace", "call_or_cancel"]),
        shipping_method in word(&["pickup", "by_courier"]),
        order_uuid in word(&["u1", "u2"]),
        payment_methods in option::weighted(0.1, vec(Just("card".to_owned()), 0..2)),
        (customer, address) in (person(), person()),
    ) -> Content {
        Content {
            order_uuid, store_id: None, customer, address, window, lines, total, comment,
            replacement_policy, shipping_method, payment_methods, cancel_reason: CancelReason::default(),
        }
    }
}

/// Boxed: without it the value trees of whole histories would not fit on the stack of a test.
fn content(lines: std::ops::RangeInclusive<usize>) -> BoxedStrategy<Content> {
    whole_content(lines).boxed()
}

/// A created; seldom it is for another store, which a repeat must not be.
pub fn created() -> BoxedStrategy<Event> {
    let store = prop_oneof![9 => Just("77"), 1 => Just("78")];
    (content(1..=6), store)
        .prop_map(|(content, store)| {
            let store_id = Some(StoreId::parse(store).unwrap());
            event(EventKind::Created, Content { store_id, ..content })
        })
        .boxed()
}

fn timestamp() -> impl Strategy<Value = Option<DateTime<FixedOffset>>> {
    option::of((0..4_i64).prop_map(stamp))
}

/// A changed: the whole list, or nothing but a part of the rest, or nothing at all.
pub fn changed() -> BoxedStrategy<Event> {
    let content = prop_oneof![
        6 => content(1..=6),
        2 => content(0..=0),
        1 => line().prop_map(|line| Content { lines: vec![line], ..Content::default() }),
        1 => Just(Content::default()),
    ];
    (content, timestamp())
        .prop_map(|(content, sm_timestamp)| Event {
            sm_timestamp,
            ..event(EventKind::Changed, content)
        })
        .boxed()
}

/// A later event: the bare id, or a whole payload.
pub fn later(kind: EventKind) -> BoxedStrategy<Event> {
    let reason = word(&["out of stock", "customer"]);
    let whole = (content(0..=6), reason).prop_map(|(content, description)| Content {
        cancel_reason: CancelReason {
            slug: None,
            description,
        },
        ..content
    });
    prop_oneof![1 => Just(Content::default()), 2 => whole]
        .prop_map(move |content| event(kind, content))
        .boxed()
}

/// The lines of an order with one thing changed, so that each thing is seen to matter by itself.
fn edited(lines: Vec<LineContent>) -> BoxedStrategy<Vec<LineContent>> {
    (any::<Index>(), line(), 0..10_usize)
        .prop_map(move |(index, other, what)| {
            let mut lines = lines.clone();
            let line = index.get_mut(&mut lines);
            match what {
                0 => line.quantity = other.quantity,
                1 => line.prices.price = other.prices.price,
                2 => line.prices.discount_price = other.prices.discount_price,
                3 => line.prices.total_price = other.prices.total_price,
                4 => line.replaced_by = other.replaced_by,
                5 => line.weight_grams = other.weight_grams,
                6 => drop(lines.remove(index.index(lines.len()))),
                7 => lines.push(other),
                8 => lines.reverse(),
                _ => lines.rotate_left(1),
            }
            lines
        })
        .boxed()
}

/// A changed or a created that differs little from this created.
fn near(created: &Event) -> BoxedStrategy<Event> {
    let content = created.content.clone();
    let kind = prop_oneof![1 => Just(EventKind::Created), 5 => Just(EventKind::Changed)];
    (kind, edited(content.lines.clone()))
        .prop_map(move |(kind, lines)| {
            let lines = if lines.is_empty() { content.lines.clone() } else { lines };
            event(
                kind,
                Content {
                    lines,
                    ..content.clone()
                },
            )
        })
        .boxed()
}

/// Everything that SM may ever say about the order of this created, repeats not counted.
pub fn any_event(created: &Event) -> BoxedStrategy<Event> {
    prop_oneof![
        1 => self::created(),
        9 => near(created),
        12 => changed(),
        4 => later(EventKind::Paid),
        1 => later(EventKind::Received),
        1 => later(EventKind::Delivered),
        1 => later(EventKind::Cancelled),
        1 => select(vec![EventKind::Informational, EventKind::Unknown])
            .prop_map(|kind| event(kind, Content::default())),
    ]
    .boxed()
}
