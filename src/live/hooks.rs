//! What is counted of answered hooks, for the page: atomics only, so that no hook waits for another.

use std::array;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orderhook_domain::event::EventKind;

use crate::metrics::{ANSWERS_LATE_TOTAL, HOOK_SECONDS, NO_EVENT};

/// The events that are told apart: every canonical one, and what could not be read.
pub const EVENTS: [&str; EventKind::ALL.len() + 1] = {
    let mut events = [NO_EVENT; EventKind::ALL.len() + 1];
    let mut index = 0;
    while index < EventKind::ALL.len() {
        events[index] = EventKind::ALL[index].as_str();
        index += 1;
    }
    events
};

/// Counts since the start of the node.
#[derive(Debug)]
pub struct HookStats {
    deadline: Duration,
    by_event: [AtomicU64; EVENTS.len()],
    forbidden: AtomicU64,
    rejected: AtomicU64,
    busy: AtomicU64,
    unavailable: AtomicU64,
    late: AtomicU64,
    untold: AtomicU64,
    times: Times,
    /// The same times for Prometheus. Kept, because to look a metric up costs more than to record.
    seconds: metrics::Histogram,
}

/// The counts at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HookCounts {
    /// Answered hooks by [`EVENTS`].
    pub by_event: [u64; EVENTS.len()],
    /// Answered 403: whoever sent them knows no token, so they are no hooks of SM.
    pub forbidden: u64,
    /// Answered 4xx for good: what was sent can never be taken.
    pub rejected: u64,
    /// Answered 429: a bound was met.
    pub busy: u64,
    /// Answered 503: not stored, the caller repeats.
    pub unavailable: u64,
    /// Not answered within the deadline.
    pub late: u64,
}

impl HookCounts {
    /// All answered hooks of SM. Tries with a wrong token are not among them: whoever reaches the port could
    /// make any share of the others as small as he likes.
    #[must_use]
    pub fn answered(&self) -> u64 {
        let all: u64 = self.by_event.iter().sum();
        // Read one after the other, while hooks are counted.
        all.saturating_sub(self.forbidden)
    }

    /// What was counted since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            by_event: array::from_fn(|event| self.by_event[event] - before.by_event[event]),
            forbidden: self.forbidden - before.forbidden,
            rejected: self.rejected - before.rejected,
            busy: self.busy - before.busy,
            unavailable: self.unavailable - before.unavailable,
            late: self.late - before.late,
        }
    }
}

/// A hook that is owed an answer. Dropped without one (its caller went away), it counts as late if its token
/// was right: whoever reaches the port could count as much as he likes.
#[derive(Debug)]
pub struct Owed<'a> {
    stats: &'a HookStats,
    given: bool,
    authenticated: Cell<bool>,
}

impl HookStats {
    /// Nothing counted yet. An answer that takes `deadline` or longer is late.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            by_event: array::from_fn(|_| AtomicU64::new(0)),
            forbidden: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            late: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            times: Times::new(),
            seconds: metrics::histogram!(HOOK_SECONDS),
        }
    }

    /// A hook has arrived.
    #[must_use]
    pub const fn owe(&self) -> Owed<'_> {
        Owed {
            stats: self,
            given: false,
            authenticated: Cell::new(false),
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> HookCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HookCounts {
            by_event: array::from_fn(|event| read(&self.by_event[event])),
            forbidden: read(&self.forbidden),
            rejected: read(&self.rejected),
            busy: read(&self.busy),
            unavailable: read(&self.unavailable),
            late: read(&self.late),
        }
    }

    /// A hook was refused for capacity, and has no line of its own in the log.
    pub fn refused_untold(&self) {
        self.untold.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells the log how many these were since the last call.
    pub fn tell_refused(&self) {
        let hooks = self.untold.swap(0, Ordering::Relaxed);
        if hooks > 0 {
            tracing::warn!(hooks, "hooks were refused for capacity");
        }
    }

    /// The times of the answers since the last call; for one caller only.
    pub fn take_times(&self) -> TimesTaken {
        self.times.take()
    }

    fn late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
        metrics::counter!(ANSWERS_LATE_TOTAL).increment(1);
    }
}

impl Owed<'_> {
    /// Its token is right: it is a hook of SM.
    pub fn authenticated(&self) {
        self.authenticated.set(true);
    }

    /// The answer is given, so long after the hook arrived.
    pub fn answered(mut self, event: &str, status: u16, duration: Duration) {
        self.given = true;
        let stats = self.stats;
        stats.seconds.record(duration);
        let event = EVENTS.iter().position(|known| *known == event);
        stats.by_event[event.unwrap_or(EVENTS.len() - 1)].fetch_add(1, Ordering::Relaxed);
        if status == 403 {
            stats.forbidden.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let counter = match status {
            429 => Some(&stats.busy),
            503 => Some(&stats.unavailable),
            400.. => Some(&stats.rejected),
            _ => None,
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if duration >= stats.deadline {
            stats.late();
        }
        stats.times.record(duration);
    }
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        if !self.given && self.authenticated.get() {
            self.stats.late();
        }
    }
}

/// Eight buckets for every doubling: a time is known to an eighth of itself.
const PER_DOUBLING: usize = 8;
/// From 8 microseconds on, up to more than a minute.
const DOUBLINGS: usize = 24;
const BUCKETS: usize = PER_DOUBLING * (DOUBLINGS + 1);

#[derive(Debug)]
struct Times([AtomicU64; BUCKETS]);

impl Times {
    fn new() -> Self {
        Self(array::from_fn(|_| AtomicU64::new(0)))
    }

    fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0[bucket(micros)].fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self) -> TimesTaken {
        TimesTaken(array::from_fn(|bucket| self.0[bucket].swap(0, Ordering::Relaxed)))
    }
}

/// Times of answers within one second or so.
#[derive(Debug, Clone)]
pub struct TimesTaken([u64; BUCKETS]);

impl TimesTaken {
    /// The time within which `percent` of the answers were given, in microseconds, at most an eighth too
    /// high; `None` without answers.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.0.iter().sum();
        if all == 0 {
            return None;
        }
        let wanted = (all * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        Some(upper_bound(found.unwrap_or(BUCKETS - 1)))
    }
}

/// Below 8 every value has its own bucket; above, the highest four bits choose it.
fn bucket(micros: u64) -> usize {
    let doubling = micros.max(1).ilog2();
    if doubling < 3 {
        return usize::try_from(micros).unwrap_or_default();
    }
    let doubling = doubling - 3;
    let part = usize::try_from((micros >> doubling) & 7).unwrap_or_default();
    let bucket = usize::try_from(doubling + 1).unwrap_or_default() * PER_DOUBLING + part;
    bucket.min(BUCKETS - 1)
}

/// The highest value of a bucket.
const fn upper_bound(bucket: usize) -> u64 {
    if bucket < PER_DOUBLING {
        return bucket as u64;
    }
    let doubling = bucket / PER_DOUBLING - 1;
    let part = bucket % PER_DOUBLING;
    ((PER_DOUBLING + part + 1) as u64) << doubling
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_is_known_to_an_eighth_of_itself(micros in 0_u64..60_000_000) {
            let bound = upper_bound(bucket(micros));
            prop_assert!(bound >= micros && bound <= micros + micros / 8 + 1, "{micros} → {bound}");
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded_since_the_last_look() {
        let stats = HookStats::new(Duration::from_secs(2));
        for millis in 1..=100 {
            stats.times.record(Duration::from_millis(millis));
        }
        let times = stats.take_times();
        let near = |micros: Option<u64>, millis: u64| {
            let micros = micros.unwrap();
            assert!(
                (millis * 1000..=millis * 1150).contains(&micros),
                "{micros} µs, {millis} ms"
            );
        };
        near(times.percentile(50), 50);
        near(times.percentile(99), 99);
        near(times.percentile(100), 100);
        assert_eq!(stats.take_times().percentile(50), None);
        stats.times.record(Duration::from_secs(100_000));
        assert!(stats.take_times().percentile(99).unwrap() > 60_000_000);
    }

    #[test]
    fn whoever_knows_no_token_hides_nothing_among_his_tries() {
        let stats = HookStats::new(Duration::from_secs(2));
        stats.owe().answered("paid", 503, Duration::from_secs(1));
        for _ in 0..999 {
            stats.owe().answered(NO_EVENT, 403, Duration::ZERO);
        }
        let counts = stats.counts();
        assert_eq!((counts.answered(), counts.unavailable, counts.rejected), (1, 1, 0));
        assert!(stats.take_times().percentile(50).unwrap() >= 1_000_000);
    }

    #[test]
    fn an_answer_that_is_not_given_or_given_too_late_counts_as_late() {
        let stats = HookStats::new(Duration::from_secs(2));
        stats.owe().answered("paid", 200, Duration::ZERO);
        assert_eq!(stats.counts().late, 0);
        stats.owe().answered("paid", 503, Duration::from_secs(2));
        let owed = stats.owe();
        owed.authenticated();
        drop(owed);
        // Somebody who knows no token.
        drop(stats.owe());
        let counts = stats.counts();
        assert_eq!((counts.late, counts.answered(), counts.unavailable), (2, 2, 1));
        let paid = EVENTS.iter().position(|event| *event == "paid").unwrap();
        assert_eq!(counts.since(&HookCounts::default()).by_event[paid], 2);
    }
}
