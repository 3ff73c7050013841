//! The stored history as a serialisation: the reference model does it once more.
//!
//! One thing the journal does not tell: when the record of an answer was written. Where the model has to
//! know whether an earlier answer was on record (rule 5), it is told so or not so by what certainly was,
//! and tries both where both can be.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Duration, Utc};
use orderhook_domain::event::{Delivery, EventKind};
use orderhook_domain::ids::DeliveryId;

use crate::domain::model::{Model, Movement, Step, View};
use crate::rows::Event;
use crate::sent::Sent;

/// What `ORDERHOOK_ASSEMBLY_TIME` is when nobody sets it.
pub(crate) const ASSEMBLY_TIME: Duration = Duration::minutes(60);

/// A single answer that took longer than this may have been too late to count.
const ANSWERED_IN_TIME: std::time::Duration = std::time::Duration::from_secs(1);

/// More than this many unknowns at once are no test any more.
const MOST_UNKNOWN: usize = 10;

/// One event of the history with what was sent.
pub(crate) struct Arrived<'a> {
    pub(crate) stored: &'a Event,
    pub(crate) sent: &'a Sent<'a>,
    pub(crate) delivery: Delivery,
}

impl<'a> Arrived<'a> {
    pub(crate) fn new(stored: &'a Event, sent: &'a Sent<'a>) -> Self {
        let delivery = Delivery {
            id: stored.delivery_id,
            received_at: stored.received_at,
            event: sent.hook.event.clone(),
        };
        Self { stored, sent, delivery }
    }

    fn is(&self, kind: EventKind) -> bool {
        self.delivery.event.kind == kind
    }

    fn is_change_without_time(&self) -> bool {
        self.is(EventKind::Changed) && self.delivery.event.sm_timestamp.is_none()
    }

    fn says_the_same(&self, other: &Self) -> bool {
        self.delivery.event.content == other.delivery.event.content
    }

    /// Whether the record of this answer was there when `later` was judged; `None` when both can be.
    fn was_on_record(&self, later: &Self) -> Option<bool> {
        let Some(answered_at) = self.stored.answered_at else {
            return Some(false);
        };
        if later
            .stored
            .answered_at
            .is_some_and(|judged_before| judged_before < answered_at)
        {
            return Some(false);
        }
        // A node knows what it has answered itself, from before the answer is on its way.
        let own_answer = self.sent.attempts.iter().any(|attempt| {
            attempt.acknowledged().is_some()
                && attempt.node == later.stored.node
                && attempt.ended < later.sent.sent()
                && attempt.ended - attempt.sent < ANSWERED_IN_TIME
        });
        own_answer.then_some(true)
    }
}

/// The model after the whole history, and what it says that became of the stock.
pub(crate) struct Replayed {
    pub(crate) view: Option<View>,
    pub(crate) moved: Vec<(Movement, DateTime<Utc>)>,
}

/// Replays the versions of an order: every end that the history can have had, by which answers were on
/// record. `Err` says where the model cannot follow.
pub(crate) fn replay(history: &[Arrived<'_>]) -> Result<Vec<Replayed>, String> {
    let mut models = vec![(Model::new(ASSEMBLY_TIME), Vec::new())];
    for (index, arrived) in history.iter().enumerate() {
        let mut steps = BTreeSet::new();
        let mut next: Vec<(Model, Vec<_>)> = Vec::new();
        let choices = choices(&history[..index], arrived)?;
        for (model, moved) in &models {
            for recorded in &choices {
                let mut model = model.clone();
                let Some(step) = model.judge(&arrived.delivery, recorded) else {
                    steps.insert("refused: too many wait for created".to_owned());
                    continue;
                };
                steps.insert(said(&step));
                let is_known = || {
                    next.iter()
                        .any(|(other, _)| format!("{other:?}") == format!("{model:?}"))
                };
                if agrees(&step, arrived.stored) && (choices.len() == 1 || !is_known()) {
                    let leaves = step.stock.into_iter().map(|moved| (moved, arrived.stored.received_at));
                    let moved = moved.iter().cloned().chain(leaves).collect();
                    next.push((model, moved));
                }
            }
        }
        if next.is_empty() {
            let version = index + 1;
            return Err(format!(
                "version {version} is stored as it is, and the model says {steps:?}"
            ));
        }
        models = next;
    }
    let ends = models.into_iter().map(|(model, moved)| Replayed {
        view: model.view(),
        moved,
    });
    Ok(ends.collect())
}

/// Every set of recorded answers that may have been there when this one was judged.
fn choices(earlier: &[Arrived<'_>], now: &Arrived<'_>) -> Result<Vec<HashSet<DeliveryId>>, String> {
    let mut certain = HashSet::new();
    let mut unknown = Vec::new();
    let first_created = now.is(EventKind::Created) && !earlier.iter().any(|event| event.is(EventKind::Created));
    for (index, event) in earlier.iter().enumerate() {
        let matters = if first_created {
            // One that waits repeats another one that waits.
            let repeats = |other: &Arrived<'_>| other.is_change_without_time() && other.says_the_same(event);
            event.is(EventKind::Changed)
                && earlier
                    .iter()
                    .enumerate()
                    .any(|(other, it)| other != index && repeats(it))
        } else {
            event.is(EventKind::Changed) && now.is_change_without_time() && now.says_the_same(event)
        };
        match event.was_on_record(now) {
            Some(true) => drop(certain.insert(event.delivery.id)),
            None if matters => unknown.push(event.delivery.id),
            Some(false) | None => {}
        }
    }
    if unknown.len() > MOST_UNKNOWN {
        return Err(format!("{} answers of unknown record are too many", unknown.len()));
    }
    let subsets = (0..1_usize << unknown.len()).rev().map(|bits| {
        let chosen = unknown.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
        certain.iter().copied().chain(chosen.map(|(_, id)| *id)).collect()
    });
    Ok(subsets.collect())
}

fn agrees(step: &Step, stored: &Event) -> bool {
    let notes: BTreeSet<String> = step.notes.iter().map(|note| note.as_str().to_owned()).collect();
    step.outcome.as_str() == stored.outcome
        && notes == stored.notes
        && step.notice.map(|notice| notice.as_str()) == stored.notice.as_deref()
}

fn said(step: &Step) -> String {
    let notes: Vec<_> = step.notes.iter().map(|note| note.as_str()).collect();
    let notice = step.notice.map_or("none", |notice| notice.as_str());
    format!("{} {notes:?}, notice: {notice}", step.outcome.as_str())
}
