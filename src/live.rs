//! What the operations page shows, kept ready on the node: the page asks nobody, and nobody waits for it.
//!
//! # Layout
//! - `hooks`, `commits`: counters that the path of a hook touches, atomics only.
//! - `light`: the traffic light, pure; `seen`: what it is told.
//! - [`sampler`]: once a second writes a row of figures into a ring of 15 minutes, and the state.
//! - `viewers`: how many may look, and what each is sent.
//! - `counted`: what only the database knows, counted by one task.
//! - `gauges`: the same figures for Prometheus, set when it asks.

pub mod commits;
pub mod counted;
mod gauges;
pub mod hooks;
pub mod light;
pub mod sampler;
mod seen;
mod viewers;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};

use crate::db::attention::Attention;
use crate::db::outbox::OutboxState;
use crate::db::{Database, PoolShown};
use commits::CommitStats;
use counted::{Counted, Counts};
use hooks::HookStats;
pub use viewers::{MAX_VIEWERS, TooManyViewers, give_up_silent_readers};

/// How long figures are kept.
pub const HISTORY: Duration = Duration::from_secs(15 * 60);
/// How often they are taken.
pub const EVERY: Duration = Duration::from_secs(1);
/// Rows in the ring.
const ROWS: usize = 15 * 60;

/// Bounds that the traffic light compares with.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A hook not committed by then is answered 503.
    pub answer_deadline: Duration,
    /// A notice that waits longer is told.
    pub outbox_limit: Duration,
    /// Events that may wait for one order.
    pub order_queue: usize,
    /// Commits that may wait in all persistence actors.
    pub commit_queue: usize,
}

/// See the module.
pub struct Live {
    /// Counted where hooks are answered.
    pub hooks: HookStats,
    /// Counted where batches are committed.
    pub commits: Arc<CommitStats>,
    /// How full the outbox is.
    pub outbox: watch::Receiver<Counted<OutboxState>>,
    /// What needs a person.
    pub attention: watch::Receiver<Arc<Counted<Attention>>>,
    limits: Limits,
    started: Instant,
    started_at: DateTime<Utc>,
    ring: Mutex<Ring>,
    /// The connections to the database as they were counted last.
    pools: Mutex<[PoolShown; 2]>,
    published: watch::Sender<Arc<Published>>,
    viewers: viewers::Seats,
    /// Wakes whoever counts in the database: somebody has begun to look, or something was changed.
    look_now: Arc<Notify>,
}

/// The rows of the last 15 minutes, each already as the JSON that viewers get.
#[derive(Default)]
struct Ring {
    /// The number of the newest row, counted from 1.
    newest: u64,
    rows: VecDeque<Arc<str>>,
}

/// What changes from second to second, as JSON.
#[derive(Debug, Clone, Default)]
struct Published {
    state: Bytes,
    attention: Bytes,
    /// Raised when `attention` changes.
    attention_number: u64,
    /// Nothing comes any more: the node ends.
    ended: bool,
}

impl Live {
    /// Nothing taken yet; `sampler::run` fills it.
    #[must_use]
    pub fn new(limits: Limits, commits: Arc<CommitStats>, counts: Counts, pools: [PoolShown; 2]) -> Self {
        Self {
            hooks: HookStats::new(limits.answer_deadline),
            commits,
            outbox: counts.outbox,
            attention: counts.attention,
            limits,
            started: Instant::now(),
            started_at: Utc::now(),
            ring: Mutex::new(Ring::default()),
            pools: Mutex::new(pools),
            published: watch::Sender::new(Arc::new(Published::default())),
            viewers: viewers::Seats::default(),
            look_now: counts.look_now,
        }
    }

    /// Ends every viewer's stream and the sampler, so that nobody holds the node when it ends.
    pub fn end(&self) {
        self.published.send_modify(|published| {
            let mut last = Published::clone(published);
            last.ended = true;
            *published = Arc::new(last);
        });
    }

    /// The state as viewers get it, as JSON; empty until the first look.
    #[must_use]
    pub fn state(&self) -> Bytes {
        self.published.borrow().state.clone()
    }

    /// Has the tables read again now: something was changed.
    pub fn look_now(&self) {
        self.look_now.notify_one();
    }

    fn ended(&self) -> bool {
        self.published.borrow().ended
    }

    /// Counts the connections anew. A pool counts under the lock with which commits take their connections:
    /// this is done once a second, and never by whoever asks.
    fn count_connections(&self, database: &Database) -> [PoolShown; 2] {
        let counted = database.connections();
        *self.pools.lock().unwrap_or_else(PoisonError::into_inner) = counted;
        counted
    }

    /// The connections as they were counted last, a second ago at most.
    fn connections(&self) -> [PoolShown; 2] {
        *self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, row: String) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.rows.len() == ROWS {
            ring.rows.pop_front();
        }
        ring.rows.push_back(row.into());
        ring.newest += 1;
    }

    /// The rows after number `seen`, as far as they are still kept, as one JSON array, and the number of
    /// the newest.
    fn rows_after(&self, seen: u64) -> (String, u64) {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = usize::try_from(ring.newest.saturating_sub(seen)).unwrap_or(usize::MAX);
        let rows: Vec<&str> = ring
            .rows
            .iter()
            .skip(ring.rows.len().saturating_sub(wanted))
            .map(|row| &**row)
            .collect();
        (format!("[{}]", rows.join(",")), ring.newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_fifteen_minutes_and_gives_each_viewer_what_it_has_not_seen() {
        let limits = Limits {
            answer_deadline: Duration::from_secs(2),
            outbox_limit: Duration::from_secs(300),
            order_queue: 128,
            commit_queue: 8192,
        };
        let live = Live::new(limits, Arc::default(), Counts::nothing(), Default::default());
        assert_eq!(live.rows_after(0), ("[]".to_owned(), 0));
        for second in 1..=2000 {
            live.keep(second.to_string());
        }
        assert_eq!(live.rows_after(1998), ("[1999,2000]".to_owned(), 2000));
        assert_eq!(live.rows_after(2000).0, "[]");
        let all: Vec<u64> = serde_json::from_str(&live.rows_after(0).0).unwrap();
        assert_eq!(all, (1101..=2000).collect::<Vec<u64>>());
    }
}
