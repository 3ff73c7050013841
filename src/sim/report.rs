//! The figures of a run: while it goes on, and in the end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

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
    /// `None` when the time decides how many orders there will be.
    pub(super) fn starts(&self, orders: Option<u32>) {
        self.orders.store(orders.unwrap_or_default().into(), Ordering::Relaxed);
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
            "orders ended {}{}, hooks acknowledged {}, tries refused or unanswered {}, repeats {}, lost {}, differing {}",
            of(&self.orders_ended),
            match of(&self.orders) {
                0 => String::new(),
                orders => format!(" of {orders}"),
            },
            of(&self.hooks),
            of(&self.refused),
            of(&self.repeats),
            of(&self.lost),
            of(&self.differing),
        )
    }
}

/// What came of a run.
#[derive(Debug, Clone, Default, Serialize)]
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
    /// Those whose created was never answered: SM has cancelled them by itself and sent nothing more.
    pub cancelled_by_sm: u64,
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
    /// The same figures by the canonical event.
    pub events: BTreeMap<&'static str, EventFigures>,
    /// Orders whose stored document differs from every state that is allowed.
    pub differing: u64,
    /// Each of them.
    pub differences: Vec<Difference>,
}

/// What was sent of one event, and what was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EventFigures {
    /// Tries, repeats of any kind included.
    pub tries: u64,
    /// Answered 2xx.
    pub acknowledged: u64,
    /// Answered with anything else, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Without an answer in time.
    pub unanswered: u64,
    /// Their connection failed.
    pub broken: u64,
    /// Of every try that was answered at all.
    pub answer_time: AnswerTime,
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
