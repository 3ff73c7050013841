//! What is measured of mailboxes, by actor kind and message type.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicU64, AtomicUsize, Ordering};
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
    /// How many single mailboxes are at least 2, 4, 8 … deep now. One alone inside is the usual case, and
    /// touches none of them. Signed: who leaves may be counted before who came.
    crowded: [AtomicIsize; DOUBLINGS],
    /// How many single mailboxes are at least half full now; signed as well.
    half_full: AtomicIsize,
    messages: Vec<MessageStats>,
    refused_counter: metrics::Counter,
}

/// Mailboxes deeper than two to the power of this are not told apart any more.
const DOUBLINGS: usize = 20;

struct MessageStats {
    name: &'static str,
    depth: AtomicUsize,
    high_water: AtomicUsize,
    refused: AtomicU64,
    refused_counter: metrics::Counter,
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
    /// The depth of the deepest single mailbox now, rounded down to a power of two.
    pub deepest_now: usize,
    /// Single mailboxes that are at least half full now.
    pub half_full: usize,
    /// Commands that were refused because a bound was met, or turned away by the actor.
    pub refused: u64,
    /// By message type.
    pub messages: Vec<MessageShown>,
}

/// `GET /api/mailboxes`: one message type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageShown {
    /// The name of the message.
    pub message: &'static str,
    /// Such commands that wait or are being handled now.
    pub depth: usize,
    /// The highest that `depth` has been since the start.
    pub high_water: usize,
    /// Such commands that were refused because a bound was met, or turned away by the actor.
    pub refused: u64,
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
            crowded: std::array::from_fn(|_| AtomicIsize::new(0)),
            half_full: AtomicIsize::new(0),
            messages: C::MESSAGES
                .iter()
                .map(|name| MessageStats {
                    name,
                    depth: AtomicUsize::new(0),
                    high_water: AtomicUsize::new(0),
                    refused: AtomicU64::new(0),
                    refused_counter: metrics::counter!(
                        crate::metrics::MAILBOX_MESSAGE_REFUSED_TOTAL, "actor" => actor, "message" => *name
                    ),
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

    /// What operations see. Only atomics are read: it costs the same whatever the number of mailboxes.
    #[must_use]
    pub fn shown(&self) -> MailboxShown {
        let (depth, high_water) = (self.depth(), self.high_water.load(Ordering::Relaxed));
        // Nothing is counted twice where all commands are of one kind.
        let of_message = |message: &MessageStats| match self.messages.len() {
            1 => (depth, high_water),
            _ => (
                message.depth.load(Ordering::Relaxed),
                message.high_water.load(Ordering::Relaxed),
            ),
        };
        let messages: Vec<MessageShown> = self
            .messages
            .iter()
            .map(|message| {
                let (depth, high_water) = of_message(message);
                MessageShown {
                    message: message.name,
                    depth,
                    high_water,
                    refused: message.refused.load(Ordering::Relaxed),
                    wait: message.wait.shown(),
                    handle: message.handle.shown(),
                }
            })
            .collect();
        MailboxShown {
            actor: self.actor,
            depth,
            bound: self.bound.load(Ordering::Relaxed),
            high_water,
            deepest: self.deepest.load(Ordering::Relaxed),
            deepest_now: self.deepest_now(depth),
            half_full: usize::try_from(self.half_full.load(Ordering::Relaxed)).unwrap_or_default(),
            refused: messages.iter().map(|message| message.refused).sum(),
            messages,
        }
    }

    fn deepest_now(&self, depth: usize) -> usize {
        let found = self.crowded.iter().rposition(|count| count.load(Ordering::Relaxed) > 0);
        found.map_or(depth.min(1), |doublings| 2 << doublings)
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

    /// A command took a place in a mailbox that holds `inside` of `capacity` now.
    pub(crate) fn entered(&self, message: usize, inside: usize, capacity: usize) {
        let depth = self.depth.fetch_add(1, Ordering::Relaxed) + 1;
        self.high_water.fetch_max(depth, Ordering::Relaxed);
        self.deepest.fetch_max(inside, Ordering::Relaxed);
        if self.messages.len() > 1 {
            let message = &self.messages[message];
            let depth = message.depth.fetch_add(1, Ordering::Relaxed) + 1;
            message.high_water.fetch_max(depth, Ordering::Relaxed);
        }
        if let Some(crowded) = self.crowded_at(inside) {
            crowded.fetch_add(1, Ordering::Relaxed);
        }
        if inside == half(capacity) {
            self.half_full.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A place was given back in a mailbox that held `inside` of `capacity` before.
    pub(crate) fn left(&self, message: usize, inside: usize, capacity: usize) {
        self.depth.fetch_sub(1, Ordering::Relaxed);
        if self.messages.len() > 1 {
            self.messages[message].depth.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(crowded) = self.crowded_at(inside) {
            crowded.fetch_sub(1, Ordering::Relaxed);
        }
        if inside == half(capacity) {
            self.half_full.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The counter whose border lies between `inside - 1` and `inside`.
    fn crowded_at(&self, inside: usize) -> Option<&AtomicIsize> {
        let doublings = usize::try_from(inside.checked_ilog2()?).ok()?;
        let border = inside.is_power_of_two() && inside > 1;
        border.then(|| self.crowded.get(doublings - 1)).flatten()
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
    pub(super) fn refuse(&self, message: usize) {
        let message = &self.messages[message];
        message.refused.fetch_add(1, Ordering::Relaxed);
        message.refused_counter.increment(1);
        self.refused_counter.increment(1);
    }
}

/// From so many on a mailbox is half full. One that holds a single command never is: that is its work.
const fn half(capacity: usize) -> usize {
    let half = capacity.div_ceil(2);
    if half < 2 { 2 } else { half }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two(usize);

    impl Command for Two {
        const MESSAGES: &'static [&'static str] = &["one", "other"];

        fn message(&self) -> usize {
            self.0
        }
    }

    /// Lets so many in, or out, of one mailbox.
    fn fill(stats: &MailboxStats, message: usize, from: usize, to: usize, capacity: usize) {
        for inside in from + 1..=to {
            stats.entered(message, inside, capacity);
        }
        for inside in (to + 1..=from).rev() {
            stats.left(message, inside, capacity);
        }
    }

    #[test]
    fn the_deepest_and_the_half_full_mailboxes_are_those_of_now() {
        let stats = MailboxStats::new::<Two>("test");
        let seen = || {
            let shown = stats.shown();
            (shown.depth, shown.deepest_now, shown.half_full)
        };
        assert_eq!(seen(), (0, 0, 0));
        fill(&stats, 0, 0, 1, 10);
        assert_eq!(seen(), (1, 1, 0));
        // Two mailboxes beside each other.
        fill(&stats, 0, 0, 4, 10);
        assert_eq!(seen(), (5, 4, 0));
        fill(&stats, 0, 4, 9, 10);
        assert_eq!(seen(), (10, 8, 1));
        fill(&stats, 0, 1, 5, 10);
        assert_eq!(seen(), (14, 8, 2));
        fill(&stats, 0, 9, 3, 10);
        assert_eq!(seen(), (8, 4, 1));
        fill(&stats, 0, 5, 0, 10);
        fill(&stats, 0, 3, 0, 10);
        assert_eq!(seen(), (0, 0, 0));
        assert_eq!(stats.shown().deepest, 9);
        // What is deeper than can be told apart is as deep as that.
        fill(&stats, 0, 0, 1 << (DOUBLINGS + 1), usize::MAX);
        assert_eq!(stats.shown().deepest_now, 1 << DOUBLINGS);
    }

    #[test]
    fn each_message_has_its_own_depth_high_water_and_refusals() {
        let stats = MailboxStats::new::<Two>("test");
        stats.entered(0, 1, 8);
        stats.entered(1, 2, 8);
        stats.entered(1, 3, 8);
        stats.left(1, 3, 8);
        stats.refuse(1);
        let shown = stats.shown();
        let of = |message: usize| {
            let message = &shown.messages[message];
            (message.depth, message.high_water, message.refused)
        };
        assert_eq!((of(0), of(1)), ((1, 1, 0), (1, 2, 1)));
        assert_eq!((shown.depth, shown.high_water, shown.refused), (2, 3, 1));
    }
}
