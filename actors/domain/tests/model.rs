//! Whatever happens to an order, `apply` does what the reference model says (protocol section 5).

mod support;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

use orderhook_domain::apply::{Conflict, Note, Outcome};
use orderhook_domain::event::{Delivery, Event, EventKind};
use orderhook_domain::notice::NoticeKind;
use orderhook_domain::order::{MAX_PARKED, Order};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

use support::build::{RULES, at, bare, changed, created, delivery, delivery_id, list, order_id, paid, stamped};
use support::model::{Model, Step};
use support::{drive, show, strategies};

/// One arrival of a random history.
#[derive(Debug, Clone)]
struct Arrival {
    /// Which of the order's events.
    event: Index,
    /// SM says the same once more, later: its own time is that of this arrival.
    restamped: bool,
    /// Seconds by which the listener of another node had it earlier than its place says.
    early: i64,
    /// After how many further arrivals its answer is on record; never, when it was lost.
    recorded_after: Option<usize>,
    /// nginx tries an earlier delivery again on another node: the same delivery.
    second_try_of: Option<Index>,
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let early = prop_oneof![3 => Just(0_i64), 1 => 1..4_i64];
    let recorded_after = prop_oneof![3 => Just(Some(0)), 1 => (1..5_usize).prop_map(Some), 3 => Just(None)];
    let second_try_of = proptest::option::weighted(0.1, any::<Index>());
    let restamped = proptest::bool::weighted(0.2);
    (any::<Index>(), restamped, early, recorded_after, second_try_of).prop_map(
        |(event, restamped, early, recorded_after, second_try_of)| Arrival {
            event,
            restamped,
            early,
            recorded_after,
            second_try_of,
        },
    )
}

/// Deliveries in the order of commits, each with the delay of its answer's record.
#[derive(Clone)]
struct History(Vec<(Delivery, Option<usize>)>);

/// A line for each arrival, so that a counterexample can be read.
impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (delivery, recorded_after) in &self.0 {
            let event = &delivery.event;
            let id = delivery.id.0.as_u128();
            let arrived = delivery.received_at.format("%T");
            let sent = event.sm_timestamp.map(|time| time.to_utc().format("%T").to_string());
            let content = serde_json::to_string(&event.content).unwrap_or_default();
            writeln!(
                f,
                "\n#{id} {arrived} {} sent {sent:?} recorded {recorded_after:?} {content}",
                event.kind
            )?;
        }
        Ok(())
    }
}

/// An order's events in any order, with repeats and drops; in half of the histories created is first.
fn history() -> impl Strategy<Value = History> {
    let events = strategies::created()
        .prop_flat_map(|created| (Just(created.clone()), vec(strategies::any_event(&created), 2..8)));
    (events, any::<bool>(), vec(arrival(), 1..15)).prop_map(|((created, mut events), created_first, arrivals)| {
        events.push(created.clone());
        let second = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let mut history = Vec::new();
        if created_first {
            history.push((delivery(0, 0, created), Some(0)));
        }
        for arrival in arrivals {
            let number = history.len();
            let fresh = |event: &Event| Delivery {
                id: delivery_id(number),
                received_at: at(second(number) - arrival.early),
                event: if arrival.restamped && event.sm_timestamp.is_some() {
                    stamped(event.clone(), second(number))
                } else {
                    event.clone()
                },
            };
            let arrived = match arrival.second_try_of {
                Some(earlier) if number > 0 => earlier.get(&history).0.clone(),
                _ => fresh(arrival.event.get(&events)),
            };
            history.push((arrived, arrival.recorded_after));
        }
        History(history)
    })
}

/// Plays a history to both, compares after every step, and returns what happened in it.
fn compare(History(history): &History) -> Result<Vec<Step>, TestCaseError> {
    let mut order = Order::unknown(order_id());
    let mut model = Model::new(RULES.assembly_time);
    let mut steps = Vec::new();
    for (now, (delivery, _)) in history.iter().enumerate() {
        let on_record = history[..now].iter().enumerate();
        let on_record = on_record.filter(|(index, (_, after))| after.is_some_and(|after| index + after < now));
        let recorded: HashSet<_> = on_record.map(|(_, (delivery, _))| delivery.id).collect();

        let expected = model.judge(delivery, &|id| recorded.contains(&id));
        let transition = drive::judge(&order, delivery, &recorded);
        let judged = transition.as_ref().ok().map(show::step);
        prop_assert_eq!(&judged, &expected, "arrival {}", now);
        if let Some(next) = transition.ok().and_then(|transition| transition.order) {
            prop_assert_eq!(&drive::stored(&next), &next, "the row gives back what it was given");
            order = next;
        }
        prop_assert_eq!(show::view(&order), model.view(), "arrival {}", now);
        steps.extend(judged);
    }
    let moved: Vec<_> = steps.iter().flat_map(|step| step.stock.clone()).collect();
    prop_assert_eq!(moved, model.stock());
    Ok(steps)
}

/// Everything that can be decided on an event, by the words that the history shows.
fn words(steps: &[Step]) -> impl Iterator<Item = &'static str> {
    let words = |step: &Step| {
        let notes = step.notes.iter().map(|note| note.as_str());
        let notice = step.notice.map(NoticeKind::as_str);
        notes.chain([step.outcome.as_str()]).chain(notice).collect::<Vec<_>>()
    };
    steps.iter().flat_map(words)
}

#[test]
fn apply_agrees_with_the_model() {
    let config = ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let seen = RefCell::new(BTreeMap::<&str, usize>::new());
    let result = TestRunner::new(config).run(&history(), |history| {
        for word in words(&compare(&history)?) {
            *seen.borrow_mut().entry(word).or_default() += 1;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // Agreement means nothing where nothing happens: the histories reach everything there is.
    let conflicts = Conflict::ALL.map(|conflict| Note::Conflict(conflict).as_str());
    let notes = [
        Note::LateRepeat,
        Note::OlderTimestamp,
        Note::CompositionRestored,
        Note::ParkedStale,
    ];
    let outcomes = Outcome::ALL
        .map(Outcome::as_str)
        .into_iter()
        .filter(|outcome| *outcome != "rejected");
    let notices = NoticeKind::ALL.map(NoticeKind::as_str);
    let all = outcomes.chain(notices).chain(conflicts).chain(notes.map(Note::as_str));
    let missed: Vec<_> = all
        .filter(|word| seen.borrow().get(word).is_none_or(|count| *count < 10))
        .collect();
    assert!(missed.is_empty(), "{missed:?} hardly happened in {seen:?}");
}

#[test]
fn the_bound_of_parked_events_refuses_and_changes_nothing() {
    let mut history = Vec::new();
    for number in 0..=MAX_PARKED {
        let change = changed(list(&[&format!("milk {number}")]));
        history.push((delivery(number, 0, change), None));
    }
    // Beyond the bound a repeat is still a duplicate, informational events are still recorded.
    history.push((delivery(100, 1, paid("1")), None));
    history.push((delivery(101, 1, bare(EventKind::Informational)), None));
    history.push((delivery(102, 1, created(&["milk 9"])), None));
    let steps = compare(&History(history)).unwrap();
    assert_eq!(steps.len(), MAX_PARKED + 2, "two are refused");
}
