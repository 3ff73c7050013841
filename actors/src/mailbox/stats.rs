//! What is measured of mailboxes, by actor kind and message type.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Command;

/// What operations see of all mailboxes of one actor kind.
#[derive(Debug)]
pub struct MailboxStats {
    actor: &'static str,
    /// Where the clock of the gates begins.
    started: Instant,
    /// Commands that wait or are being handled, over all mailboxes of the kind.
    depth: AtomicUsize,
    /// How many commands all mailboxes of the kind hold together before they refuse.
    bound: AtomicUsize,
    /// The highest that `depth` has been.
    high_water: AtomicUsize,
    /// The highest depth of one single mailbox.
    deepest: AtomicUsize,
    refused: AtomicU64,
    messages: Vec<MessageStats>,
    refused_counter: metrics::Counter,
}

struct MessageStats {
    name: &'static str,
    wait: Timing,
    handle: Timing,
}

impl std::fmt::Debug for MessageStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageStats")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A duration that was measured many times: a Prometheus histogram, and three figures for the JSON.
struct Timing {
    count: AtomicU64,
    total_micros: AtomicU64,
    max_micros: AtomicU64,
    histogram: metrics::Histogram,
}

impl Timing {
    fn new(histogram: metrics::Histogram) -> Self {
        Self {
            count: AtomicU64::new(0),
            total_micros: AtomicU64::new(0),
            max_micros: AtomicU64::new(0),
            histogram,
        }
    }

    fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.total_micros.fetch_add(micros, Ordering::Relaxed);
        self.max_micros.fetch_max(micros, Ordering::Relaxed);
        self.histogram.record(duration);
    }

    fn shown(&self) -> TimingShown {
        let count = self.count.load(Ordering::Relaxed);
        let total_micros = self.total_micros.load(Ordering::Relaxed);
        TimingShown {
            count,
            total_micros,
            mean_micros: total_micros.checked_div(count).unwrap_or(0),
            max_micros: self.max_micros.load(Ordering::Relaxed),
        }
    }
}

/// `GET /api/mailboxes`: one actor kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MailboxShown {
    /// `order`, `persistence`, `answers` or `notifier`.
    pub actor: &'static str,
    /// Commands that wait or are being handled now.
    pub depth: usize,
    /// How many all mailboxes of the kind hold together before they refuse; grows with the actors alive.
    pub bound: usize,
    /// The highest that `depth` has been since the start.
    pub high_water: usize,
    /// The highest depth of one single mailbox since the start.
    pub deepest: usize,
    /// Commands that were refused because a bound was met.
    pub refused: u64,
    /// By message type.
    pub messages: Vec<MessageShown>,
}

/// `GET /api/mailboxes`: one message type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageShown {
    /// The name of the message.
    pub message: &'static str,
    /// From sending to the start of the work.
    pub wait: TimingShown,
    /// From the start of the work to its end.
    pub handle: TimingShown,
}

/// A duration that was measured many times since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TimingShown {
    /// How often.
    pub count: u64,
    /// All of them together, in microseconds.
    pub total_micros: u64,
    /// The mean, in microseconds.
    pub mean_micros: u64,
    /// The longest, in microseconds.
    pub max_micros: u64,
}

impl MailboxStats {
    /// The statistics of an actor kind that receives commands of the type `C`.
    #[must_use]
    pub fn new<C: Command>(actor: &'static str) -> Arc<Self> {
        let timing = |family: &'static str, message: &'static str| {
            Timing::new(metrics::histogram!(family, "actor" => actor, "message" => message))
        };
        Arc::new(Self {
            actor,
            started: Instant::now(),
            depth: AtomicUsize::new(0),
            bound: AtomicUsize::new(0),
            high_water: AtomicUsize::new(0),
            deepest: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            messages: C::MESSAGES
                .iter()
                .map(|name| MessageStats {
                    name,
                    wait: timing(crate::metrics::MAILBOX_WAIT_SECONDS, name),
                    handle: timing(crate::metrics::MAILBOX_HANDLE_SECONDS, name),
                })
                .collect(),
            refused_counter: metrics::counter!(crate::metrics::MAILBOX_REFUSED_TOTAL, "actor" => actor),
        })
    }

    /// The actor kind.
    #[must_use]
    pub const fn actor(&self) -> &'static str {
        self.actor
    }

    /// Commands that wait or are being handled now.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// How many commands all mailboxes of the kind hold together before they refuse.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.bound.load(Ordering::Relaxed)
    }

    /// What operations see.
    #[must_use]
    pub fn shown(&self) -> MailboxShown {
        MailboxShown {
            actor: self.actor,
            depth: self.depth(),
            bound: self.bound.load(Ordering::Relaxed),
            high_water: self.high_water.load(Ordering::Relaxed),
            deepest: self.deepest.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            messages: self
                .messages
                .iter()
                .map(|message| MessageShown {
                    message: message.name,
                    wait: message.wait.shown(),
                    handle: message.handle.shown(),
                })
                .collect(),
        }
    }

    /// There is one more mailbox of the kind.
    pub(crate) fn opened(&self, capacity: usize) {
        self.bound.fetch_add(capacity, Ordering::Relaxed);
    }

    /// A mailbox of the kind is gone.
    pub(super) fn gone(&self, capacity: usize) {
        self.bound.fetch_sub(capacity, Ordering::Relaxed);
    }

    /// A moment as the gates keep it: microseconds since the start.
    pub(super) fn clock(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_micros()).unwrap_or(u64::MAX)
    }

    /// A command took a place in a mailbox that holds `inside` now.
    pub(crate) fn entered(&self, inside: usize) {
        let depth = self.depth.fetch_add(1, Ordering::Relaxed) + 1;
        self.high_water.fetch_max(depth, Ordering::Relaxed);
        self.deepest.fetch_max(inside, Ordering::Relaxed);
    }

    /// A place was given back.
    pub(crate) fn left(&self) {
        self.depth.fetch_sub(1, Ordering::Relaxed);
    }

    /// A command's work begins.
    pub(super) fn waited(&self, message: usize, duration: Duration) {
        self.messages[message].wait.record(duration);
    }

    /// A command's work has ended.
    pub(super) fn handled(&self, message: usize, duration: Duration) {
        self.messages[message].handle.record(duration);
    }

    /// A bound was met.
    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.refused_counter.increment(1);
    }
}
