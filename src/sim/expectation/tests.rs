//! What is allowed is allowed, and nothing beside it.

mod versions;

use std::time::{Duration, Instant};

use super::super::Spelling;
use super::super::catalogue::{Amount, COMMENTS, CUSTOMERS, POLICIES};
use super::super::plan::{CancelForm, Change, Facts, Line, Step};
use super::super::sender::Try;
use super::super::stored::StoredEvent;
use super::*;

const PAID: Event = Event::Paid { bare: false };
const CANCELLED: Event = Event::Cancelled(CancelForm::Bare);

fn change(version: usize) -> Event {
    Event::Changed(Change::Composition(version))
}

/// An order of two lines; each version wants one piece more of the first.
fn plan(spelling: Spelling, events: &[Event]) -> OrderPlan {
    let version = |more: u32| Version {
        lines: spelling.store().products[..2]
            .iter()
            .enumerate()
            .map(|(place, product)| Line {
                product,
                original: Amount::pieces(2),
                quantity: Amount::pieces(if place == 0 { 2 + more } else { 2 }),
                price: product.price,
                discount: product.discount,
                replaced_by: None,
            })
            .collect(),
        comment: Some(COMMENTS[0]),
    };
    let mut paid = version(2);
    paid.lines[0].price = Money(8000);
    OrderPlan {
        facts: Facts {
            order_id: "H1".to_owned(),
            index: 0,
            spelling,
            store_id: spelling.store_id(0),
            created_at: "2026-11-24T12:00:00Z".parse().unwrap(),
            customer: CUSTOMERS[0],
            replacement_policy: POLICIES[0],
            lists_removed: true,
        },
        versions: vec![version(0), version(1), version(2)],
        paid: Some(paid),
        steps: events
            .iter()
            .map(|event| Step {
                event: *event,
                body: String::new(),
                slot: 0,
                repeated_after: None,
            })
            .collect(),
    }
}

/// When a step was sent and answered, in milliseconds; `None` when it was not answered.
type Sent = (usize, u64, Option<u64>);

fn arrivals(plan: &OrderPlan, sent: &[Sent]) -> Vec<Arrival> {
    let start = Instant::now();
    let at = |millis: u64| start + Duration::from_millis(millis);
    sent.iter()
        .map(|(step, sent_at, answered_at)| {
            let is_created = plan.steps[*step].event == Event::Created;
            let answer = Answer {
                status: if is_created { "created" } else { "ok" }.to_owned(),
                number: Some("1".to_owned()),
                expected_assembly_time: is_created.then(|| "2026-11-24T13:00:00Z".to_owned()),
            };
            Arrival {
                step: *step,
                tried: Try {
                    sent_at: at(*sent_at),
                    ended_at: at(answered_at.unwrap_or(sent_at + 5000)),
                    request_id: String::new(),
                    reply: answered_at.map_or(Reply::Silent, |_| Reply::Acknowledged(Some(answer))),
                },
            }
        })
        .collect()
}

/// Each step sent after the answer to the previous one.
fn one_after_another(steps: usize) -> Vec<Sent> {
    (0..steps)
        .map(|step| (step, step as u64 * 10, Some(step as u64 * 10 + 5)))
        .collect()
}

const LIFE: [Event; 6] = [
    Event::Created,
    Event::Changed(Change::Composition(1)),
    Event::Changed(Change::Composition(2)),
    PAID,
    Event::Received,
    Event::Delivered,
];

/// The order as it must be stored after its whole life.
fn stored(plan: &OrderPlan) -> StoredOrder {
    let first = |quantity: &str| StoredLine {
        id: "4100017".to_owned(),
        quantity: quantity.to_owned(),
        price: Some("80.00".to_owned()),
        discount_price: Some("79.90".to_owned()),
        replaced_by: None,
    };
    let second = StoredLine {
        id: "4100254".to_owned(),
        quantity: "2".to_owned(),
        price: Some("349.00".to_owned()),
        discount_price: Some("349.00".to_owned()),
        replaced_by: None,
    };
    let mark = || Some("2026-11-24T12:00:00Z".to_owned());
    StoredOrder {
        number: Some("1".to_owned()),
        store_id: Some("8001".to_owned()),
        status: "delivered".to_owned(),
        closed: true,
        conflict: false,
        paid_at: mark(),
        shipped_at: mark(),
        delivered_at: mark(),
        cancelled_at: None,
        positions: vec![first("4"), second],
        total: StoredTotal {
            price: Some("1018.00".to_owned()),
            discount_price: Some("1017.60".to_owned()),
        },
        comment: Some(COMMENTS[0].to_owned()),
        events: plan
            .steps
            .iter()
            .map(|step| StoredEvent {
                event: step.event.canonical().to_owned(),
                outcome: "applied".to_owned(),
            })
            .collect(),
    }
}

/// What is said when the stored order is as it must be but for one thing.
fn said_after(spoil: impl Fn(&mut StoredOrder)) -> String {
    let plan = plan(Spelling::D, &LIFE);
    let mut stored = stored(&plan);
    spoil(&mut stored);
    differences(&plan, &arrivals(&plan, &one_after_another(6)), Some(&stored)).join("; ")
}

#[test]
fn the_order_as_it_must_be_does_not_differ() {
    assert_eq!(said_after(|_| {}), "");
    assert_eq!(
        said_after(|stored| stored.positions.push(StoredLine {
            id: "4101118".to_owned(),
            quantity: "0".to_owned(),
            price: None,
            discount_price: None,
            replaced_by: None,
        })),
        "",
        "a removed line stays"
    );
}

#[test]
fn every_wrong_value_is_told_with_the_right_one() {
    assert_eq!(
        said_after(|stored| stored.status = "shipped".to_owned()),
        r#"status is "shipped", expected "delivered""#
    );
    assert_eq!(
        said_after(|stored| stored.closed = false),
        "closed is false, expected true"
    );
    assert_eq!(
        said_after(|stored| stored.paid_at = None),
        "paid is false, expected true"
    );
    assert_eq!(
        said_after(|stored| stored.positions[0].quantity = "3".to_owned()),
        "positions are [4100017 × 3 at 80.00 / 79.90, 4100254 × 2 at 349.00 / 349.00], \
         expected [4100017 × 4 at 80.00 / 79.90, 4100254 × 2 at 349.00 / 349.00]"
    );
    assert!(said_after(|stored| stored.positions[0].price = Some("89.90".to_owned())).starts_with("positions are"));
    assert_eq!(
        said_after(|stored| stored.total.price = None),
        "total is ? / 1017.60, expected 1018.00 / 1017.60"
    );
    assert!(said_after(|stored| stored.comment = None).starts_with("comment is"));
    assert!(said_after(|stored| stored.store_id = None).starts_with("store is"));
    assert_eq!(
        said_after(|stored| stored.conflict = true),
        "a conflict is flagged where nothing contradicts"
    );
    assert_eq!(
        said_after(|stored| stored.number = Some("2".to_owned())),
        r#"the order has several numbers: {"1", "2"}"#
    );
}

#[test]
fn a_history_with_too_little_or_too_much_is_told() {
    assert_eq!(
        said_after(|stored| drop(stored.events.pop())),
        "delivered: 1 acknowledged, 0 stored"
    );
    assert_eq!(
        said_after(|stored| stored.events.push(stored.events[0].clone())),
        "created: 1 sent, 2 stored"
    );
    assert_eq!(
        said_after(|stored| stored.events[1].outcome = "rejected".to_owned()),
        "changed: 2 acknowledged, 1 stored"
    );
}

#[test]
fn an_unknown_order_differs_only_where_created_was_acknowledged() {
    let plan = plan(Spelling::D, &LIFE);
    let lost = arrivals(&plan, &[(0, 0, None)]);
    assert_eq!(differences(&plan, &lost, None), Vec::<String>::new());
    let stored = arrivals(&plan, &[(0, 0, Some(5))]);
    assert_eq!(
        differences(&plan, &stored, None),
        ["created: 1 acknowledged, 0 stored", "the order is unknown"]
    );
}

#[test]
fn an_event_without_answer_may_have_set_its_mark() {
    let plan = plan(Spelling::D, &[Event::Created, CANCELLED]);
    let arrivals = arrivals(&plan, &[(0, 0, Some(5)), (1, 10, None)]);
    let mut stored = stored(&plan);
    (stored.paid_at, stored.shipped_at, stored.delivered_at) = (None, None, None);
    stored.positions[0].quantity = "2".to_owned();
    stored.positions[0].price = Some("89.90".to_owned());
    stored.total.price = Some("877.80".to_owned());
    stored.total.discount_price = Some("857.80".to_owned());
    (stored.status, stored.closed) = ("new".to_owned(), false);
    assert_eq!(differences(&plan, &arrivals, Some(&stored)), Vec::<String>::new());
    stored.cancelled_at = Some("2026-11-24T12:00:00Z".to_owned());
    (stored.status, stored.closed) = ("cancelled".to_owned(), true);
    assert_eq!(differences(&plan, &arrivals, Some(&stored)), Vec::<String>::new());
    stored.status = "paid".to_owned();
    assert_eq!(differences(&plan, &arrivals, Some(&stored)).len(), 1);
}
