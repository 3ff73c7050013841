//! The stored history as a serialisation: the reference model does it once more.
//!
//! One thing the journal does not tell: when the record of an answer was written. Where the model asks
//! whether an earlier answer was on record (rule 5), it is told so or not so by what certainly was, and goes
//! both ways where both can be.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Duration, Utc};
use orderhook_domain::event::Delivery;
use orderhook_domain::ids::DeliveryId;

use crate::domain::model::{Model, Movement, Step, View};
use crate::rows::Event;
use crate::sent::Sent;

/// What `ORDERHOOK_ASSEMBLY_TIME` is when nobody sets it.
pub(crate) const ASSEMBLY_TIME: Duration = Duration::minutes(60);

/// A single answer that took longer than this may have been too late to count.
const ANSWERED_IN_TIME: std::time::Duration = std::time::Duration::from_secs(1);

/// An order that can have come to more ends than this takes longer than a test should; of 50 000 orders of
/// the plan none had more than 32.
const MOST_WAYS: usize = 1000;

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
        let earlier = &history[..index];
        let mut steps = BTreeSet::new();
        let mut next: Vec<(Model, Vec<_>)> = Vec::new();
        for (model, moved) in &models {
            for (model, step) in judgements(model, earlier, arrived)? {
                let Some(step) = step else {
                    steps.insert("refused: too many wait for created".to_owned());
                    continue;
                };
                steps.insert(said(&step));
                if agrees(&step, arrived.stored) {
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
        if next.len() > 1 {
            // Most records make no difference.
            let mut seen = HashSet::new();
            next.retain(|(model, _)| seen.insert(format!("{model:?}")));
        }
        if next.len() > MOST_WAYS {
            return Err(format!(
                "version {} can have come in more than {MOST_WAYS} ways",
                index + 1
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

/// Every way in which this event can have been judged. The model is asked again and again, each time with
/// the next combination of answers to those of its questions to which both can be the answer: what it does
/// not ask makes no difference.
fn judgements(model: &Model, earlier: &[Arrived<'_>], now: &Arrived<'_>) -> Result<Vec<(Model, Option<Step>)>, String> {
    let known = earlier
        .iter()
        .map(|event| (event.delivery.id, event.was_on_record(now)));
    let known: HashMap<DeliveryId, Option<bool>> = known.collect();
    let mut ways = Vec::new();
    // By the order of the questions; the last one that was assumed to be on record is the next that was not.
    let mut assumed: Vec<(DeliveryId, bool)> = Vec::new();
    loop {
        let questions = RefCell::new(assumed);
        let on_record = |id| {
            if let Some(certain) = known[&id] {
                return certain;
            }
            let mut asked = questions.borrow_mut();
            if let Some((_, assumed)) = asked.iter().find(|(before, _)| *before == id) {
                return *assumed;
            }
            asked.push((id, true));
            true
        };
        let mut model = model.clone();
        let step = model.judge(&now.delivery, &on_record);
        ways.push((model, step));
        assumed = questions.into_inner();
        while assumed.pop_if(|(_, on_record)| !*on_record).is_some() {}
        let Some((_, last)) = assumed.last_mut() else {
            return Ok(ways);
        };
        *last = false;
        if ways.len() == MOST_WAYS {
            let request_id = &now.sent.request_id;
            return Err(format!(
                "{request_id} can have been judged in more than {MOST_WAYS} ways"
            ));
        }
    }
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
