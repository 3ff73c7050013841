//! Whether a node takes one more hook: it refuses early what it could only answer late.
//!
//! A queue that never empties makes everybody wait and nobody faster. It is recognised as in CoDel (RFC 8289):
//! not by its length, and not by the slowest, but by the shortest wait of an interval. When even the luckiest
//! hook had to wait that long, the node is over capacity; one slow order, or one long transaction, is not mistaken
//! for that. Nor is a disk that stood still for half a second: when no transaction began for a while, the next
//! interval must say the same. Then hooks are refused at the door, `order.created` last of all: without an answer
//! to it SM cancels a real order, everything else is only told again.
//!
//! Stores take turns in a transaction, so that the luckiest hook of all says nothing of a store that sends more than
//! its share: its own hooks wait for each other. Each persistence actor therefore looks at what its transactions leave
//! behind, too (`StoreAdmission`), and refuses hooks of a store that was left behind again and again. They have been
//! parsed by then: when everybody waits it is the door that refuses.
//!
//! The threads that read hooks can be behind as well, and nothing that is counted inside shows it: who waits for a
//! turn there has not been read. So a look comes by again and again and waits for its turn like everybody else.
//! When many are inside, and even the shortest of these waits was long in two intervals, what may be repeated is
//! refused until the threads have caught up. The refusal waits for a turn as well: it should not wait for long.
//!
//! A queue also grows old when the database stands still. That is no lack of capacity, and another node may
//! reach a database that this one does not: the refusal says so ([`DeliverError`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

// The clock of the timers, so that tests move both together.
use tokio::time::{Instant, MissedTickBehavior};

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
    /// For a transaction.
    commit_wait: StandingWait,
    /// For a turn on the threads that read hooks.
    turn_wait: StandingWait,
    /// When the last transaction was committed, in microseconds since `started`.
    committed: AtomicU64,
}

/// The least that everybody waited for something lately.
#[derive(Debug)]
struct StandingWait {
    /// How long an interval lasts, at least.
    length: Duration,
    /// When the running interval began, in microseconds since the start.
    interval: AtomicU64,
    /// The shortest wait of the running interval in microseconds; [`NONE`] when nobody waited yet.
    shortest: AtomicU64,
    /// The shortest wait of the last interval, in microseconds.
    last: AtomicU64,
    /// How long even the luckiest had to wait lately, in microseconds.
    standing: AtomicU64,
}

const NONE: u64 = u64::MAX;
const INTERVAL: Duration = Duration::from_millis(50);
/// An interval ends with the first transaction that begins after its time. One of this length says that none
/// began meanwhile.
const STOOD_STILL: Duration = Duration::from_millis(150);
/// How often each thread's turns are looked at, and for how long the shortest wait is looked for.
const TURN_LOOK: Duration = Duration::from_millis(10);
const TURN_INTERVAL: Duration = Duration::from_millis(20);
/// Beyond this wait for a turn, hooks are refused: half of the time within which a refusal should come.
const LONGEST_TURN: Duration = Duration::from_millis(25);
/// More commits than these transactions hold must be inside for that.
const CROWD_BATCHES: usize = 2;

impl Admission {
    /// Admits everything until hooks wait.
    pub(crate) fn new(answer_time: Duration, batch_rows: usize, waiting: Arc<MailboxStats>) -> Arc<Self> {
        Arc::new(Self {
            answer_time,
            batch_rows,
            waiting,
            started: Instant::now(),
            commit_wait: StandingWait::new(INTERVAL),
            turn_wait: StandingWait::new(TURN_INTERVAL),
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
        // With few inside, turns are late because the machine does something else: refusing would help nobody.
        let is_behind = importance == Importance::Other
            && inside > self.batch_rows * CROWD_BATCHES
            && self.turn_wait() > LONGEST_TURN;
        if inside < most_inside && self.standing() <= longest_wait && !is_behind {
            return Ok(());
        }
        Err(self.refusal())
    }

    fn refusal(&self) -> DeliverError {
        let committed = Duration::from_micros(self.committed.load(Ordering::Relaxed));
        if self.started.elapsed().saturating_sub(committed) > self.answer_time / 4 {
            DeliverError::Unavailable
        } else {
            DeliverError::Busy
        }
    }

    /// How long even the luckiest hook waited for its transaction in the last interval, or in the last two when
    /// no transaction began for a while.
    #[must_use]
    pub fn standing(&self) -> Duration {
        Duration::from_micros(self.commit_wait.standing.load(Ordering::Relaxed))
    }

    /// How long even the luckiest waited for a turn on the threads that read hooks, in the last two intervals.
    #[must_use]
    pub fn turn_wait(&self) -> Duration {
        Duration::from_micros(self.turn_wait.standing.load(Ordering::Relaxed))
    }

    /// Looks at the turns of the thread that it runs on, for ever.
    pub(crate) async fn watch_turns(self: Arc<Self>) {
        let mut looks = tokio::time::interval(TURN_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = looks.tick().await;
            self.waited_for_turn(due.elapsed(), self.started.elapsed());
        }
    }

    fn waited_for_turn(&self, wait: Duration, now: Duration) {
        // Another thread has told of the same time already.
        if micros(now.saturating_sub(wait)) < self.turn_wait.interval.load(Ordering::Relaxed) {
            self.turn_wait.shortest.fetch_min(micros(wait), Ordering::Relaxed);
            return;
        }
        // Once is nothing: the machine had the thread wait, or a burst was answered.
        self.turn_wait.waited(wait, now, |_length| true);
    }

    /// A transaction begins now; the last of its hooks to come must be committed by `latest`.
    pub(crate) fn transaction_begins(&self, latest: std::time::Instant) {
        let left = latest.saturating_duration_since(Instant::now().into_std());
        self.waited_for_transaction(self.answer_time.saturating_sub(left), self.started.elapsed());
    }

    fn waited_for_transaction(&self, wait: Duration, now: Duration) {
        self.commit_wait.waited(wait, now, |length| length > STOOD_STILL);
    }

    /// A transaction has committed.
    pub(crate) fn transaction_committed(&self) {
        self.committed.store(micros(self.started.elapsed()), Ordering::Relaxed);
    }
}

/// Whether a persistence actor takes one more hook of a store whose own hooks wait for each other.
#[derive(Debug)]
pub(crate) struct StoreAdmission {
    admission: Arc<Admission>,
    /// For a transaction, of the store that waits longest.
    wait: StandingWait,
}

impl StoreAdmission {
    /// Admits everything until hooks are left behind.
    pub(crate) const fn new(admission: Arc<Admission>) -> Self {
        Self {
            admission,
            wait: StandingWait::new(INTERVAL),
        }
    }

    /// Lets a hook into the queue of its store, of which one has waited so long that the last transaction has left
    /// behind. Stores that are not left behind need not ask. What SM repeats is refused from twice the wait on that
    /// the door allows: it is cheaper there.
    ///
    /// # Errors
    /// Those of [`Admission::admit`].
    pub(crate) fn admit(&self, importance: Importance, waited: Duration) -> Result<(), DeliverError> {
        let longest_wait = match importance {
            Importance::Created => self.admission.answer_time * 3 / 4,
            Importance::Other => self.admission.answer_time / 8,
        };
        let standing = Duration::from_micros(self.wait.standing.load(Ordering::Relaxed));
        if standing <= longest_wait || waited <= longest_wait {
            return Ok(());
        }
        Err(self.admission.refusal())
    }

    /// A transaction begins now, and leaves behind hooks of which one has waited so long; `None` when it takes all.
    pub(crate) fn transaction_begins(&self, left_behind: Option<Duration>) {
        self.waited(left_behind.unwrap_or_default(), self.admission.started.elapsed());
    }

    fn waited(&self, longest: Duration, now: Duration) {
        self.wait.waited(longest, now, |length| length > STOOD_STILL);
    }
}

impl StandingWait {
    const fn new(length: Duration) -> Self {
        Self {
            length,
            interval: AtomicU64::new(0),
            shortest: AtomicU64::new(NONE),
            last: AtomicU64::new(0),
            standing: AtomicU64::new(0),
        }
    }

    /// Somebody waited so long, until `now`, counted from the start. Whether the interval before must say the same
    /// may depend on how long this one was.
    fn waited(&self, wait: Duration, now: Duration, asks_for_two: impl FnOnce(Duration) -> bool) {
        self.shortest.fetch_min(micros(wait), Ordering::Relaxed);
        let (now, began) = (micros(now), self.interval.load(Ordering::Relaxed));
        if now.saturating_sub(began) < micros(self.length) {
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
                let length = Duration::from_micros(now.saturating_sub(began));
                let standing = if asks_for_two(length) {
                    shortest.min(before)
                } else {
                    shortest
                };
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
mod tests;
