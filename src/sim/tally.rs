//! Adding up: the tries of one order, then the orders of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};

use super::plan::{Event, OrderPlan};
use super::report::{AnswerTime, Difference, EventFigures, Lost, Report};
use super::sender::{Reply, Try};
use super::{Run, SimError};

/// What came of one order.
#[derive(Debug, Default)]
pub(super) struct PlayedOrder {
    order_id: String,
    cancelled: bool,
    hooks: u64,
    repeats: u64,
    repeats_of_acknowledged: u64,
    events: BTreeMap<&'static str, EventFigures>,
    lost: Vec<Lost>,
    answered_in: Vec<(&'static str, Duration)>,
    pub(super) cancelled_by_sm: bool,
    pub(super) differences: Vec<String>,
}

impl PlayedOrder {
    pub(super) fn new(plan: &OrderPlan) -> Self {
        Self {
            order_id: plan.facts.order_id.clone(),
            cancelled: plan.steps.iter().any(|step| matches!(step.event, Event::Cancelled(_))),
            ..Self::default()
        }
    }

    /// Counts the tries of a hook.
    pub(super) fn sent(&mut self, event: Event, tries: &[Try]) {
        self.hooks += 1;
        self.count(event, tries);
    }

    /// Counts the tries of a hook that had been acknowledged before.
    pub(super) fn sent_again(&mut self, event: Event, tries: &[Try]) {
        self.repeats_of_acknowledged += 1;
        self.count(event, tries);
    }

    fn count(&mut self, event: Event, tries: &[Try]) {
        self.repeats += tries.len().saturating_sub(1) as u64;
        let figures = self.events.entry(event.canonical()).or_default();
        for tried in tries {
            figures.tries += 1;
            match tried.reply {
                Reply::Acknowledged(_) => figures.acknowledged += 1,
                Reply::Refused(status) => *figures.refused.entry(status).or_default() += 1,
                Reply::Silent => figures.unanswered += 1,
                Reply::Broken => figures.broken += 1,
            }
            if matches!(tried.reply, Reply::Acknowledged(_) | Reply::Refused(_)) {
                self.answered_in
                    .push((event.canonical(), tried.ended_at - tried.sent_at));
            }
        }
        if let Some(last) = tries.last().filter(|last| !last.is_acknowledged()) {
            self.lost.push(Lost {
                order_id: self.order_id.clone(),
                event: event.canonical(),
                tries: tries.len() as u64,
                last_reply: last.reply.to_string(),
            });
        }
    }
}

/// An hour, which no limit for an answer reaches; a longer time counts as this.
const LONGEST_TIME_US: u64 = 3_600_000_000;

/// Adds up the orders as they end.
pub(super) struct Tally {
    report: Report,
    answers: Times,
    by_event: BTreeMap<&'static str, Times>,
}

impl Tally {
    /// # Errors
    /// Never in practice: the precision of the histogram is constant.
    pub(super) fn new(run: &Run) -> Result<Self, SimError> {
        let events = [
            "created",
            "changed",
            "paid",
            "received",
            "delivered",
            "cancelled",
            "informational",
        ];
        let by_event = events.map(|event| Ok((event, Times::new()?)));
        Ok(Self {
            report: Report {
                seed: run.seed,
                prefix: run.prefix.clone(),
                ..Report::default()
            },
            answers: Times::new()?,
            by_event: by_event.into_iter().collect::<Result<_, CreationError>>()?,
        })
    }

    pub(super) fn add(&mut self, order: PlayedOrder) {
        let report = &mut self.report;
        report.orders += 1;
        report.cancelled += u64::from(order.cancelled);
        report.cancelled_by_sm += u64::from(order.cancelled_by_sm);
        report.hooks += order.hooks;
        report.repeats += order.repeats;
        report.repeats_of_acknowledged += order.repeats_of_acknowledged;
        for (event, figures) in order.events {
            add_statuses(&mut report.refused, &figures.refused);
            report.unanswered += figures.unanswered;
            report.broken += figures.broken;
            let sum = report.events.entry(event).or_default();
            sum.tries += figures.tries;
            sum.acknowledged += figures.acknowledged;
            sum.unanswered += figures.unanswered;
            sum.broken += figures.broken;
            add_statuses(&mut sum.refused, &figures.refused);
        }
        report.never_acknowledged += order.lost.len() as u64;
        report.lost.extend(order.lost);
        for (event, time) in order.answered_in {
            self.answers.add(time);
            if let Some(times) = self.by_event.get_mut(event) {
                times.add(time);
            }
        }
        if !order.differences.is_empty() {
            report.differing += 1;
            report.differences.push(Difference {
                order_id: order.order_id,
                explanation: order.differences.join("; "),
            });
        }
    }

    pub(super) fn report(self, elapsed: Duration) -> Report {
        let mut report = self.report;
        // Orders end in any order; a reader looks for one.
        report.lost.sort_by(|one, other| one.order_id.cmp(&other.order_id));
        report
            .differences
            .sort_by(|one, other| one.order_id.cmp(&other.order_id));
        report.elapsed_ms = micros(elapsed) / 1000;
        report.answer_time = self.answers.told();
        for (event, figures) in &mut report.events {
            if let Some(times) = self.by_event.get(event) {
                figures.answer_time = times.told();
            }
        }
        report
    }
}

fn add_statuses(sum: &mut BTreeMap<u16, u64>, more: &BTreeMap<u16, u64>) {
    for (status, count) in more {
        *sum.entry(*status).or_default() += count;
    }
}

/// The times of answers.
struct Times(Histogram<u64>);

impl Times {
    fn new() -> Result<Self, CreationError> {
        // Three digits are what a person reads.
        Ok(Self(Histogram::new_with_bounds(1, LONGEST_TIME_US, 3)?))
    }

    fn add(&mut self, time: Duration) {
        self.0.saturating_record(micros(time));
    }

    fn told(&self) -> AnswerTime {
        AnswerTime {
            p50_us: self.0.value_at_quantile(0.5),
            p99_us: self.0.value_at_quantile(0.99),
            max_us: self.0.max(),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
