//! Whether a node takes one more hook: it refuses early what it could only answer late.
//!
//! A queue that never empties makes everybody wait and nobody faster. It is recognised as in CoDel (RFC 8289):
//! not by its length, and not by the slowest, but by the shortest wait of an interval. When even the luckiest
//! hook had to wait that long, the node is over capacity; one slow order, or one long transaction, is not mistaken
//! for that. Nor is a disk that stood still for half a second: when no transaction began for a while, the next
//! interval must say the same. Then hooks are refused at the door, `order.created` last of all: without an answer
//! to it SM cancels a real order, everything else is only told again.
//!
//! A queue also grows old when the database stands still. That is no lack of capacity, and another node may
//! reach a database that this one does not: the refusal says so ([`DeliverError`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::DeliverError;
use crate::mailbox::MailboxStats;

/// How much it costs a customer that a hook is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// Without an answer SM cancels the order.
    Created,
    /// SM repeats it, and nothing is lost but time.
    Other,
}

/// Shared by those who stand at the door and the persistence actors, who know how long hooks waited.
#[derive(Debug)]
pub struct Admission {
    /// Within this time a hook must be answered.
    answer_time: Duration,
    /// The most commits of one transaction.
    batch_rows: usize,
    /// The mailboxes of the persistence actors.
    waiting: Arc<MailboxStats>,
    started: Instant,
    /// When the running interval began, in microseconds since `started`.
    interval: AtomicU64,
    /// The shortest wait of the running interval in microseconds; [`NONE`] when nothing was committed yet.
    shortest: AtomicU64,
    /// The shortest wait of the last interval, in microseconds.
    last: AtomicU64,
    /// How long even the luckiest had to wait lately, in microseconds.
    standing: AtomicU64,
    /// When the last transaction was committed, in microseconds since `started`.
    committed: AtomicU64,
}

const NONE: u64 = u64::MAX;
const INTERVAL: Duration = Duration::from_millis(50);
/// An interval ends with the first transaction that begins after its time. One of this length says that none
/// began meanwhile.
const STOOD_STILL: Duration = Duration::from_millis(150);

impl Admission {
    /// Admits everything until hooks wait.
    pub(crate) fn new(answer_time: Duration, batch_rows: usize, waiting: Arc<MailboxStats>) -> Arc<Self> {
        Arc::new(Self {
            answer_time,
            batch_rows,
            waiting,
            started: Instant::now(),
            interval: AtomicU64::new(0),
            shortest: AtomicU64::new(NONE),
            last: AtomicU64::new(0),
            standing: AtomicU64::new(0),
            committed: AtomicU64::new(0),
        })
    }

    /// Lets a hook in. What is refused here costs neither parsing nor an actor.
    ///
    /// # Errors
    /// [`DeliverError::Busy`] over capacity, [`DeliverError::Unavailable`] when nothing is committed any more.
    pub fn admit(&self, importance: Importance) -> Result<(), DeliverError> {
        let inside = self.waiting.depth();
        // Whatever the last interval was like: whoever comes now is in the next transaction. After a stall of
        // the database this is what a node with little traffic finds.
        if inside < self.batch_rows {
            return Ok(());
        }
        let (longest_wait, most_inside) = match importance {
            Importance::Created => (self.answer_time * 3 / 4, self.waiting.bound()),
            Importance::Other => (self.answer_time / 16, self.waiting.bound() / 2),
        };
        if inside < most_inside && self.standing() <= longest_wait {
            return Ok(());
        }
        let committed = Duration::from_micros(self.committed.load(Ordering::Relaxed));
        if self.started.elapsed().saturating_sub(committed) > self.answer_time / 4 {
            return Err(DeliverError::Unavailable);
        }
        Err(DeliverError::Busy)
    }

    /// How long even the luckiest hook waited for its transaction in the last interval, or in the last two when
    /// no transaction began for a while.
    #[must_use]
    pub fn standing(&self) -> Duration {
        Duration::from_micros(self.standing.load(Ordering::Relaxed))
    }

    /// A transaction begins now; its hooks must be committed by these deadlines.
    pub(crate) fn transaction_begins(&self, deadlines: impl Iterator<Item = Instant>) {
        let now = Instant::now();
        let Some(latest) = deadlines.max() else { return };
        let left = latest.saturating_duration_since(now);
        self.waited(self.answer_time.saturating_sub(left), now);
    }

    /// A transaction has committed.
    pub(crate) fn transaction_committed(&self) {
        self.committed.store(micros(self.started.elapsed()), Ordering::Relaxed);
    }

    fn waited(&self, shortest: Duration, now: Instant) {
        self.shortest.fetch_min(micros(shortest), Ordering::Relaxed);
        let (now, began) = (micros(now - self.started), self.interval.load(Ordering::Relaxed));
        if now.saturating_sub(began) < micros(INTERVAL) {
            return;
        }
        // Whoever moves the interval on closes it; the others have counted in either of the two.
        let moved = self
            .interval
            .compare_exchange(began, now, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_ok() {
            let shortest = self.shortest.swap(NONE, Ordering::Relaxed);
            if shortest != NONE {
                let before = self.last.swap(shortest, Ordering::Relaxed);
                let stood_still = now.saturating_sub(began) > micros(STOOD_STILL);
                let standing = if stood_still { shortest.min(before) } else { shortest };
                self.standing.store(standing, Ordering::Relaxed);
            }
        }
    }
}

/// A time in microseconds, never [`NONE`].
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(NONE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence_actor::PersistenceCommand;

    const ANSWER_TIME: Duration = Duration::from_secs(2);
    const BATCH_ROWS: usize = 10;
    const BOUND: usize = 100;

    fn admission(inside: usize) -> (Arc<Admission>, Arc<MailboxStats>) {
        let stats = MailboxStats::new::<PersistenceCommand>("persistence");
        stats.opened(BOUND);
        for _ in 0..inside {
            stats.entered(0, 1, BOUND);
        }
        let admission = Admission::new(ANSWER_TIME, BATCH_ROWS, Arc::clone(&stats));
        admission.transaction_committed();
        (admission, stats)
    }

    /// Intervals of one wait each.
    fn waits(admission: &Admission, millis: &[u64]) {
        for (interval, millis) in millis.iter().enumerate() {
            let now = admission.started + INTERVAL * u32::try_from(interval + 1).unwrap();
            admission.waited(Duration::from_millis(*millis), now);
        }
    }

    #[test]
    fn a_node_whose_hooks_do_not_wait_admits_everything() {
        let (admission, _) = admission(BATCH_ROWS);
        waits(&admission, &[3]);
        assert_eq!(admission.admit(Importance::Other), Ok(()));
        assert_eq!(admission.admit(Importance::Created), Ok(()));
    }

    #[test]
    fn when_everybody_waits_created_is_still_admitted_and_the_others_are_not() {
        let (admission, _) = admission(BATCH_ROWS);
        waits(&admission, &[300]);
        assert_eq!(admission.admit(Importance::Other), Err(DeliverError::Busy));
        assert_eq!(admission.admit(Importance::Created), Ok(()));
    }

    #[test]
    fn created_is_refused_when_it_could_not_be_answered_in_time() {
        let (admission, _) = admission(BATCH_ROWS);
        waits(&admission, &[300, 1600]);
        assert_eq!(admission.admit(Importance::Created), Err(DeliverError::Busy));
    }

    #[test]
    fn one_that_did_not_wait_shows_that_the_node_keeps_up() {
        let (admission, _) = admission(BATCH_ROWS);
        let within = admission.started + INTERVAL / 2;
        admission.waited(Duration::from_millis(1), within);
        admission.waited(Duration::from_millis(900), admission.started + INTERVAL);
        assert_eq!(admission.admit(Importance::Other), Ok(()));
    }

    #[test]
    fn a_disk_that_stood_still_once_is_no_lack_of_capacity() {
        let (admission, _) = admission(BATCH_ROWS);
        waits(&admission, &[3]);
        let later = |millis| admission.started + INTERVAL + Duration::from_millis(millis);
        admission.waited(Duration::from_millis(400), later(400));
        assert_eq!(admission.admit(Importance::Other), Ok(()));
        // It goes on like this.
        admission.waited(Duration::from_millis(300), later(800));
        assert_eq!(admission.standing(), Duration::from_millis(300));
        assert_eq!(admission.admit(Importance::Other), Err(DeliverError::Busy));
    }

    #[test]
    fn an_old_queue_that_the_next_transaction_empties_refuses_nobody() {
        let (admission, stats) = admission(BATCH_ROWS);
        waits(&admission, &[1900]);
        assert_eq!(admission.admit(Importance::Created), Err(DeliverError::Busy));
        stats.left(0, 1, BOUND);
        assert_eq!(admission.admit(Importance::Other), Ok(()));
    }

    #[test]
    fn half_of_the_places_is_kept_for_created() {
        let (admission, _) = admission(BOUND / 2);
        assert_eq!(admission.admit(Importance::Other), Err(DeliverError::Busy));
        assert_eq!(admission.admit(Importance::Created), Ok(()));
    }

    #[test]
    fn while_nothing_is_committed_the_refusal_is_not_for_lack_of_capacity() {
        let (mut admission, _) = admission(BOUND);
        assert_eq!(admission.admit(Importance::Created), Err(DeliverError::Busy));
        // The last commit was so long ago.
        Arc::get_mut(&mut admission).unwrap().started -= ANSWER_TIME / 2;
        assert_eq!(admission.admit(Importance::Created), Err(DeliverError::Unavailable));
        admission.transaction_committed();
        assert_eq!(admission.admit(Importance::Created), Err(DeliverError::Busy));
    }
}
