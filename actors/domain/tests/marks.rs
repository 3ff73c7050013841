//! Disorder and repetition (protocol section 5, rules 2, 3, 4, 6, 7): what holds whatever came first.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use orderhook_domain::apply::{Conflict, Note, Outcome, Transition};
use orderhook_domain::event::{Delivery, Event, EventKind, Total};
use orderhook_domain::notice::NoticeKind;
use orderhook_domain::order::{Marks, Order};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use support::build::{bare, delivery, delivery_id, order_id};
use support::drive::judge;
use support::strategies;

/// An order's whole life: created, changes, and each later event at most twice with any content.
fn life(changes: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Event>> {
    let later = [
        EventKind::Paid,
        EventKind::Received,
        EventKind::Delivered,
        EventKind::Cancelled,
    ];
    let later = later.map(|kind| vec(strategies::later(kind), 0..=2).boxed());
    let changes = vec(strategies::changed(), changes);
    let created = vec(strategies::created(), 1..=2);
    (created, changes, Vec::from(later), 0..2_usize).prop_map(|(created, changes, later, informational)| {
        let informational = vec![bare(EventKind::Informational); informational];
        let all = [created, changes, later.concat(), informational];
        all.concat()
    })
}

/// A life in two orders of arrival, each with repeats of any of its events.
fn told_twice(changes: std::ops::Range<usize>) -> impl Strategy<Value = [Vec<Event>; 2]> {
    life(changes).prop_flat_map(|events| {
        let one_order = |events: Vec<Event>| {
            (Just(events), vec(any::<Index>(), 0..4))
                .prop_map(|(mut events, again)| {
                    let repeats: Vec<_> = again.iter().map(|index| index.get(&events).clone()).collect();
                    events.extend(repeats);
                    events
                })
                .prop_shuffle()
        };
        [one_order(events.clone()), one_order(events)]
    })
}

/// What happened in one order of arrival.
struct Told {
    order: Order,
    steps: Vec<(Delivery, Order, Transition)>,
}

impl Told {
    /// Every second answer is recorded; arrivals are a second apart.
    fn of(events: &[Event]) -> Self {
        let mut order = Order::unknown(order_id());
        let mut recorded = HashSet::new();
        let mut steps = Vec::new();
        for (number, event) in events.iter().enumerate() {
            let delivery = delivery(number, i64::try_from(number).unwrap(), event.clone());
            let transition = judge(&order, &delivery, &recorded).unwrap();
            recorded.extend((number % 2 == 0).then_some(delivery.id));
            let before = order.clone();
            order = transition.order.clone().unwrap_or(order);
            steps.push((delivery, before, transition));
        }
        Self { order, steps }
    }

    fn notices(&self, kind: NoticeKind) -> usize {
        let notices = self
            .steps
            .iter()
            .filter_map(|(_, _, transition)| transition.notice.as_ref());
        notices.filter(|notice| notice.kind() == kind).count()
    }

    fn found(&self, conflict: Conflict) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|(_, _, transition)| transition.notes.contains(&Note::Conflict(conflict)))
    }
}

/// Which marks are set, whatever their times.
fn set(marks: &Marks) -> [bool; 4] {
    times(marks).map(|time| time.is_some())
}

fn times(marks: &Marks) -> [Option<chrono::DateTime<chrono::Utc>>; 4] {
    [marks.paid_at, marks.shipped_at, marks.delivered_at, marks.cancelled_at]
}

fn has(events: &[Event], kind: EventKind) -> bool {
    events.iter().any(|event| event.kind == kind)
}

fn ships(event: &Event) -> bool {
    matches!(event.kind, EventKind::Received | EventKind::Delivered)
}

/// The totals that the paid events tell contradict each other: two values for one figure.
fn paid_totals_differ(events: &[Event]) -> bool {
    let paid = events.iter().filter(|event| event.kind == EventKind::Paid);
    let totals: Vec<Total> = paid.map(|event| event.content.total).collect();
    let values = |figure: fn(&Total) -> Option<_>| totals.iter().filter_map(figure).collect::<HashSet<_>>().len();
    values(|total| total.price) > 1 || values(|total| total.discount_price) > 1
}

/// Two created name another store or other amounts.
fn created_differ(events: &[Event]) -> bool {
    let created = events.iter().filter(|event| event.kind == EventKind::Created);
    let pickings = created.map(|event| {
        let mut amounts = BTreeMap::<_, Vec<_>>::new();
        for line in event
            .content
            .lines
            .iter()
            .filter(|line| !line.quantity.unwrap().is_zero())
        {
            amounts.entry(line.product_id.clone()).or_default().push(line.quantity);
        }
        (event.content.store_id.clone(), amounts)
    });
    let pickings: Vec<_> = pickings.collect();
    pickings.windows(2).any(|pair| pair[0] != pair[1])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rule 3: order of arrival means nothing for the marks.
    #[test]
    fn any_order_of_arrival_ends_in_the_same_marks([one, other] in told_twice(0..3)) {
        let told = Told::of(&one);
        prop_assert_eq!(set(&told.order.marks), set(&Told::of(&other).order.marks));
        let shipped = one.iter().any(ships);
        let expected = [has(&one, EventKind::Paid), shipped, has(&one, EventKind::Delivered), has(&one, EventKind::Cancelled)];
        prop_assert_eq!(set(&told.order.marks), expected);
    }

    /// Rule 6: in any order of arrival.
    #[test]
    fn contradictions_are_found_in_any_order_of_arrival(lives in told_twice(0..3)) {
        for events in lives {
            let told = Told::of(&events);
            let both = has(&events, EventKind::Cancelled) && events.iter().any(ships);
            prop_assert_eq!(told.found(Conflict::CancelledAndShipped), both);
            prop_assert_eq!(told.found(Conflict::PaidTotals), paid_totals_differ(&events));
            prop_assert_eq!(told.found(Conflict::CreatedComposition), created_differ(&events));
            let any = Conflict::ALL.into_iter().any(|conflict| told.found(conflict));
            prop_assert_eq!(told.order.conflict, any);
        }
    }

    /// Without changes nothing depends on the order of arrival but times, prices and texts.
    #[test]
    fn without_changes_the_conflict_flag_is_the_same_in_any_order([one, other] in told_twice(0..1)) {
        prop_assert_eq!(Told::of(&one).order.conflict, Told::of(&other).order.conflict);
    }

    /// Rules 3 and 7: one set of movements, that of the composition at the first shipping event.
    #[test]
    fn stock_moves_once_and_as_the_order_stood([events, _] in told_twice(0..4)) {
        let told = Told::of(&events);
        for (delivery, before, transition) in &told.steps {
            let after = transition.order.as_ref().unwrap_or(before);
            let newly_shipped = before.marks.shipped_at.is_none() && after.marks.shipped_at.is_some();
            if !newly_shipped {
                prop_assert!(transition.stock.is_empty());
                continue;
            }
            // Nothing changes an amount in the step that ships, unless the order becomes known in it:
            // then its parked changes act first.
            let stood = if before.document.is_some() { before } else { after };
            let document = stood.document.as_ref().unwrap();
            let expected: Vec<_> = document
                .lines
                .iter()
                .filter(|line| !line.quantity.is_zero())
                .map(|line| (line.line, &document.store_id, &line.product_id, line.quantity))
                .collect();
            let moved: Vec<_> = transition
                .stock
                .iter()
                .map(|moved| (moved.line, &moved.store_id, &moved.product_id, moved.quantity))
                .collect();
            prop_assert_eq!(moved, expected);
            let first_in_commit_order = events.iter().position(ships);
            if before.document.is_some() {
                prop_assert_eq!(Some(delivery.id), first_in_commit_order.map(delivery_id));
            }
        }
        prop_assert_eq!(told.order.marks.shipped_at.is_some(), events.iter().any(ships));
    }

    /// Rule 2: an event applied again sets nothing and notifies nobody, at once or at the very end.
    #[test]
    fn an_event_again_sets_nothing_and_notifies_nobody([events, _] in told_twice(0..4), again in any::<Index>()) {
        let told = Told::of(&events);
        let at_the_end = (again.index(told.steps.len()), &told.order);
        let at_once = told.steps.iter().enumerate().map(|(index, (_, before, transition))| {
            (index, transition.order.as_ref().unwrap_or(before))
        });
        for (index, order) in at_once.chain([at_the_end]) {
            // Both the second try of the delivery and a new delivery of the event, its answer lost.
            let second_try = told.steps[index].0.clone();
            let repeat = Delivery { id: delivery_id(1000), ..second_try.clone() };
            for delivery in [second_try, repeat] {
                let transition = judge(order, &delivery, &HashSet::new()).unwrap();
                let after = transition.order.as_ref().unwrap_or(order);
                let of_a_change = delivery.event.kind == EventKind::Changed && order.document.is_some();
                let parked_again = delivery.event.kind == EventKind::Changed && order.document.is_none();
                prop_assert_eq!(after.marks, order.marks);
                prop_assert_eq!(transition.notice, None);
                prop_assert_eq!(transition.stock, vec![]);
                prop_assert!(parked_again || transition.outcome != Outcome::Applied);
                prop_assert!(!of_a_change || after.document == order.document);
            }
        }
    }

    /// Every judged event of an order that has a row counts, whatever it does.
    #[test]
    fn each_judged_event_raises_the_version_by_one([events, _] in told_twice(0..3)) {
        let first_with_row = events.iter().position(|event| event.kind != EventKind::Informational);
        for (index, (_, before, transition)) in Told::of(&events).steps.iter().enumerate() {
            let has_row = first_with_row.is_some_and(|first| first <= index);
            let expected = has_row.then_some(before.version + 1);
            prop_assert_eq!(transition.order.as_ref().map(|order| order.version), expected);
        }
    }

    /// Rule 4: "new order" is told once, and never of an order that nobody has to pick any more.
    #[test]
    fn an_order_is_announced_once_unless_its_end_came_first([events, _] in told_twice(0..3)) {
        let told = Told::of(&events);
        let created = events.iter().position(|event| event.kind == EventKind::Created);
        let over = |event: &Event| ships(event) || event.kind == EventKind::Cancelled;
        let over_before = created.is_some_and(|created| events[..created].iter().any(over));
        prop_assert_eq!(told.notices(NoticeKind::New), usize::from(!over_before));
        prop_assert!(told.notices(NoticeKind::Cancelled) <= 1);
    }

    /// Rule 2: once set, a mark keeps its time, which is that of the first event that set it; rule 4:
    /// where it was parked, received acts before delivered. A conflict is never cleared either.
    #[test]
    fn marks_stay_and_have_the_time_of_the_first_event([events, _] in told_twice(0..3)) {
        let told = Told::of(&events);
        for (_, before, transition) in &told.steps {
            let after = transition.order.as_ref().unwrap_or(before);
            for (old, new) in times(&before.marks).into_iter().zip(times(&after.marks)) {
                prop_assert!(old.is_none() || old == new);
            }
            prop_assert!(after.conflict || !before.conflict);
            prop_assert!(after.document.is_some() || !after.marks.any());
        }
        let created = events.iter().position(|event| event.kind == EventKind::Created).unwrap();
        let first = |kind| {
            let mut deliveries = told.steps.iter().enumerate();
            deliveries.find(|(_, step)| step.0.event.kind == kind).map(|(index, step)| (index, step.0.received_at))
        };
        let (received, delivered) = (first(EventKind::Received), first(EventKind::Delivered));
        let shipped = match (received, delivered) {
            (Some(received), Some(delivered)) if received.0 > created => Some(received.min(delivered)),
            (received, delivered) => received.or(delivered),
        };
        let time = |first: Option<(usize, _)>| first.map(|(_, at)| at);
        let expected = [time(first(EventKind::Paid)), time(shipped), time(delivered), time(first(EventKind::Cancelled))];
        prop_assert_eq!(times(&told.order.marks), expected);
    }

    /// Rule 1: the first created makes the document; its times are told to SM in every answer.
    #[test]
    fn a_repeated_created_changes_nothing([events, _] in told_twice(0..3)) {
        let told = Told::of(&events);
        for (delivery, before, transition) in &told.steps {
            if delivery.event.kind == EventKind::Created && before.document.is_some() {
                prop_assert_eq!(transition.outcome, Outcome::Duplicate);
                let after = transition.order.as_ref().unwrap();
                prop_assert_eq!(&after.document, &before.document);
            }
        }
    }

    /// Most events only set a mark: with an order of hundreds of lines they must not cost a copy of it.
    #[test]
    fn an_event_that_leaves_the_document_as_it_is_copies_none_of_it([events, _] in told_twice(0..3)) {
        for (_, before, transition) in &Told::of(&events).steps {
            let after = transition.order.as_ref().unwrap_or(before);
            if let (Some(before), Some(after)) = (&before.document, &after.document) {
                prop_assert_eq!(before == after, Arc::ptr_eq(before, after));
            }
        }
    }
}
