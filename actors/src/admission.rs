//! Whether a node takes one more hook: it refuses early what it could only answer late.
//!
//! A queue that never empties makes everybody wait and nobody faster. It is recognised as in CoDel (RFC 8289):
//! not by its length, and not by the slowest, but by the shortest wait of an interval. When even the luckiest
//! hook had to wait that long, the node is over capacity; one slow order, or one long transaction, is not mistaken
//! for that. Nor is a disk that stood still for half a second: when no transaction began for a while, the next
//! interval must say the same. Then hooks are refused at the door, `order.created` last of all: without an answer
//! to it SM cancels a real order, everything else is only told again.
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

    /// A transaction begins now; its hooks must be committed by these deadlines.
    pub(crate) fn transaction_begins(&self, deadlines: impl Iterator<Item = std::time::Instant>) {
        let Some(latest) = deadlines.max() else { return };
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
            let now = INTERVAL * u32::try_from(interval + 1).unwrap();
            admission.waited_for_transaction(Duration::from_millis(*millis), now);
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
        admission.waited_for_transaction(Duration::from_millis(1), INTERVAL / 2);
        admission.waited_for_transaction(Duration::from_millis(900), INTERVAL);
        assert_eq!(admission.admit(Importance::Other), Ok(()));
    }

    #[test]
    fn a_disk_that_stood_still_once_is_no_lack_of_capacity() {
        let (admission, _) = admission(BATCH_ROWS);
        waits(&admission, &[3]);
        let later = |millis| INTERVAL + Duration::from_millis(millis);
        admission.waited_for_transaction(Duration::from_millis(400), later(400));
        assert_eq!(admission.admit(Importance::Other), Ok(()));
        // It goes on like this.
        admission.waited_for_transaction(Duration::from_millis(300), later(800));
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

    /// The last look of each interval waited so long, others did not come.
    fn turns(admission: &Admission, millis: &[u64]) {
        let mut now = Duration::ZERO;
        for millis in millis {
            let wait = Duration::from_millis(*millis);
            now += TURN_INTERVAL.max(wait);
            admission.waited_for_turn(wait, now);
        }
    }

    #[test]
    fn when_every_turn_is_late_those_who_can_come_again_are_refused() {
        let crowd = BATCH_ROWS * CROWD_BATCHES + 1;
        let (admission, stats) = admission(crowd);
        turns(&admission, &[2, 80, 40]);
        assert_eq!(admission.turn_wait(), Duration::from_millis(40));
        assert_eq!(admission.admit(Importance::Other), Err(DeliverError::Busy));
        assert_eq!(admission.admit(Importance::Created), Ok(()));
        // Nobody is inside for whose sake they could be refused.
        stats.left(0, 1, BOUND);
        assert_eq!(admission.admit(Importance::Other), Ok(()));
    }

    #[test]
    fn one_stall_says_nothing_whoever_tells_of_it() {
        let (admission, _) = admission(BATCH_ROWS * CROWD_BATCHES + 1);
        turns(&admission, &[2, 80]);
        // On another thread it was over a little later.
        admission.waited_for_turn(Duration::from_millis(101), Duration::from_millis(121));
        assert_eq!(admission.turn_wait(), Duration::from_millis(2));
        assert_eq!(admission.admit(Importance::Other), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_waits_for_its_turn_like_everybody() {
        let (admission, _) = admission(0);
        tokio::spawn(Arc::clone(&admission).watch_turns());
        tokio::time::sleep(INTERVAL * 4).await;
        assert_eq!(admission.turn_wait(), Duration::ZERO);
        for _ in 0..4 {
            // Whatever was due in this time has its turn after it.
            tokio::time::advance(INTERVAL).await;
            tokio::task::yield_now().await;
        }
        assert!(
            admission.turn_wait() >= INTERVAL - TURN_LOOK,
            "{:?}",
            admission.turn_wait()
        );
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
