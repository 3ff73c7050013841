//! The figures of a run: while it goes on, and in the end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::plan::{Event, OrderPlan};
use super::sender::{Reply, Try};
use super::{Run, SimError};

/// What a run has done so far; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    orders: AtomicU64,
    orders_ended: AtomicU64,
    hooks: AtomicU64,
    repeats: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
    differing: AtomicU64,
}

impl Progress {
    pub(super) fn starts(&self, orders: u32) {
        self.orders.store(orders.into(), Ordering::Relaxed);
    }

    pub(super) fn hook_ended(&self, acknowledged: bool) {
        let counter = if acknowledged { &self.hooks } else { &self.lost };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn repeated(&self) {
        self.repeats.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn order_ended(&self, differs: bool) {
        self.orders_ended.fetch_add(1, Ordering::Relaxed);
        self.differing.fetch_add(differs.into(), Ordering::Relaxed);
    }
}

/// One line for a person who waits.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            f,
            "orders {} of {}, hooks acknowledged {}, tries refused or unanswered {}, repeats {}, lost {}, differing {}",
            of(&self.orders_ended),
            of(&self.orders),
            of(&self.hooks),
            of(&self.refused),
            of(&self.repeats),
            of(&self.lost),
            of(&self.differing),
        )
    }
}

/// What came of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Plays the same orders again.
    pub seed: u64,
    /// How the order ids of this run begin.
    pub prefix: String,
    /// How long it took.
    pub elapsed_ms: u64,
    /// Orders that were played.
    pub orders: u64,
    /// Those of them that were cancelled.
    pub cancelled: u64,
    /// Events that were sent, each counted once.
    pub hooks: u64,
    /// Hooks that were sent again because they were not acknowledged.
    pub repeats: u64,
    /// Hooks that were sent again although they were acknowledged.
    pub repeats_of_acknowledged: u64,
    /// Tries that were answered with anything but 2xx, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Tries without an answer in time.
    pub unanswered: u64,
    /// Tries whose connection failed.
    pub broken: u64,
    /// Hooks that no try brought through.
    pub never_acknowledged: u64,
    /// Each of them.
    pub lost: Vec<Lost>,
    /// How long the receiver took, over every try that was answered at all.
    pub answer_time: AnswerTime,
    /// Orders whose stored document differs from every state that is allowed.
    pub differing: u64,
    /// Each of them.
    pub differences: Vec<Difference>,
}

/// Times in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AnswerTime {
    /// Half of the answers were faster.
    pub p50_us: u64,
    /// One answer in a hundred was slower.
    pub p99_us: u64,
    /// The slowest one.
    pub max_us: u64,
}

/// A hook that was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Of which order.
    pub order_id: String,
    /// Its canonical event.
    pub event: &'static str,
    /// How often it was tried.
    pub tries: u64,
    /// What the last try came to.
    pub last_reply: String,
}

/// An order that is not stored as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which order.
    pub order_id: String,
    /// What differs, in one line.
    pub explanation: String,
}

impl Report {
    /// Whether every hook was acknowledged and no order differs.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.never_acknowledged == 0 && self.differing == 0
    }
}

/// What came of one order.
#[derive(Debug, Default)]
pub(super) struct PlayedOrder {
    order_id: String,
    cancelled: bool,
    hooks: u64,
    repeats: u64,
    repeats_of_acknowledged: u64,
    refused: BTreeMap<u16, u64>,
    unanswered: u64,
    broken: u64,
    lost: Vec<Lost>,
    answered_in: Vec<Duration>,
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
        for tried in tries {
            match tried.reply {
                Reply::Acknowledged(_) => {}
                Reply::Refused(status) => *self.refused.entry(status).or_default() += 1,
                Reply::Silent => self.unanswered += 1,
                Reply::Broken => self.broken += 1,
            }
            if matches!(tried.reply, Reply::Acknowledged(_) | Reply::Refused(_)) {
                self.answered_in.push(tried.ended_at - tried.sent_at);
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
    answer_us: Histogram<u64>,
}

impl Tally {
    /// # Errors
    /// Never in practice: the precision of the histogram is constant.
    pub(super) fn new(run: &Run) -> Result<Self, SimError> {
        Ok(Self {
            report: Report {
                seed: run.seed,
                prefix: run.prefix.clone(),
                elapsed_ms: 0,
                orders: 0,
                cancelled: 0,
                hooks: 0,
                repeats: 0,
                repeats_of_acknowledged: 0,
                refused: BTreeMap::new(),
                unanswered: 0,
                broken: 0,
                never_acknowledged: 0,
                lost: Vec::new(),
                answer_time: AnswerTime::default(),
                differing: 0,
                differences: Vec::new(),
            },
            // Three digits are what a person reads.
            answer_us: Histogram::new_with_bounds(1, LONGEST_TIME_US, 3)?,
        })
    }

    pub(super) fn add(&mut self, order: PlayedOrder) {
        let report = &mut self.report;
        report.orders += 1;
        report.cancelled += u64::from(order.cancelled);
        report.hooks += order.hooks;
        report.repeats += order.repeats;
        report.repeats_of_acknowledged += order.repeats_of_acknowledged;
        for (status, count) in order.refused {
            *report.refused.entry(status).or_default() += count;
        }
        report.unanswered += order.unanswered;
        report.broken += order.broken;
        report.never_acknowledged += order.lost.len() as u64;
        report.lost.extend(order.lost);
        for time in order.answered_in {
            self.answer_us.saturating_record(micros(time));
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
        report.answer_time = AnswerTime {
            p50_us: self.answer_us.value_at_quantile(0.5),
            p99_us: self.answer_us.value_at_quantile(0.99),
            max_us: self.answer_us.max(),
        };
        report
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
