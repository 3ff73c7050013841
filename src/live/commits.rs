//! What is measured of group commits: a store in front of the store, so that the persistence actor knows
//! nothing of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orderhook_actors::metrics::{COMMIT_BYTES, COMMITS_TOTAL};
use orderhook_actors::ports::{Answered, Commit, Committed, OrderStore, StoreError};
use orderhook_domain::ids::{DeliveryId, OrderId};
use orderhook_domain::order::Order;

/// Counts since the start of the node.
#[derive(Debug, Default)]
pub struct CommitStats {
    in_flight: AtomicUsize,
    commits: AtomicU64,
    failed: AtomicU64,
    rows: AtomicU64,
    micros: AtomicU64,
    /// The longest since the last look.
    longest_micros: AtomicU64,
}

/// The counts at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitCounts {
    /// Transactions that ended well.
    pub commits: u64,
    /// Transactions that failed in passing: sent again, or given up.
    pub failed: u64,
    /// Events in those that ended well.
    pub rows: u64,
    /// Their time together, in microseconds.
    pub micros: u64,
}

impl CommitStats {
    /// Transactions under way now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> CommitCounts {
        CommitCounts {
            commits: self.commits.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            micros: self.micros.load(Ordering::Relaxed),
        }
    }

    /// The longest transaction since the last call, in microseconds; for one caller only.
    pub fn take_longest(&self) -> u64 {
        self.longest_micros.swap(0, Ordering::Relaxed)
    }
}

/// What can become of a transaction.
pub const OUTCOMES: [&str; 4] = ["stored", TRANSIENT, "unavailable", "data"];
const TRANSIENT: &str = "transient";

/// Which of [`OUTCOMES`] it was.
const fn outcome<T>(committed: &Result<T, StoreError>) -> &'static str {
    match committed {
        Ok(_) => OUTCOMES[0],
        Err(StoreError::Transient(_)) => OUTCOMES[1],
        Err(StoreError::Unavailable(_)) => OUTCOMES[2],
        Err(StoreError::Data(_)) => OUTCOMES[3],
    }
}

/// A transaction under way; it is counted when this is dropped.
struct UnderWay {
    stats: Arc<CommitStats>,
    /// One of [`OUTCOMES`].
    outcome: &'static str,
}

impl UnderWay {
    fn new(stats: &Arc<CommitStats>) -> Self {
        stats.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            stats: Arc::clone(stats),
            // Until something else is known: one that is given up has failed in passing.
            outcome: TRANSIENT,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.outcome == TRANSIENT {
            self.stats.failed.fetch_add(1, Ordering::Relaxed);
        }
        metrics::counter!(COMMITS_TOTAL, "outcome" => self.outcome).increment(1);
    }
}

/// A store whose commits are measured.
pub struct MeasuredStore {
    store: Arc<dyn OrderStore>,
    stats: Arc<CommitStats>,
}

impl MeasuredStore {
    /// Measures the commits of `store`.
    pub fn new(store: Arc<dyn OrderStore>, stats: Arc<CommitStats>) -> Self {
        Self { store, stats }
    }
}

impl OrderStore for MeasuredStore {
    fn for_writer(self: Arc<Self>, under_way: usize) -> Arc<dyn OrderStore> {
        let store = Arc::clone(&self.store).for_writer(under_way);
        Arc::new(Self::new(store, Arc::clone(&self.stats)))
    }

    fn load(&self, order_id: &OrderId) -> BoxFuture<'static, Result<Option<Order>, StoreError>> {
        self.store.load(order_id)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a batch is far smaller than what a float holds exactly"
    )]
    fn commit(&self, batch: Vec<Arc<Commit>>) -> BoxFuture<'static, Result<Vec<Committed>, StoreError>> {
        let stats = Arc::clone(&self.stats);
        let rows = batch.len() as u64;
        let bytes: usize = batch.iter().map(|commit| commit.arrival.body.len()).sum();
        let mut under_way = UnderWay::new(&stats);
        let started = Instant::now();
        let committing = self.store.commit(batch);
        async move {
            let committed = committing.await;
            under_way.outcome = outcome(&committed);
            drop(under_way);
            if committed.is_ok() {
                let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                stats.commits.fetch_add(1, Ordering::Relaxed);
                stats.rows.fetch_add(rows, Ordering::Relaxed);
                stats.micros.fetch_add(micros, Ordering::Relaxed);
                stats.longest_micros.fetch_max(micros, Ordering::Relaxed);
                metrics::histogram!(COMMIT_BYTES).record(bytes as f64);
            }
            committed
        }
        .boxed()
    }

    fn answered(&self, deliveries: Vec<DeliveryId>) -> BoxFuture<'static, Result<HashSet<DeliveryId>, StoreError>> {
        self.store.answered(deliveries)
    }

    fn record_answers(&self, answers: Vec<Answered>) -> BoxFuture<'static, Result<(), StoreError>> {
        self.store.record_answers(answers)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// A database that never answers.
    struct NoEnd;

    impl OrderStore for NoEnd {
        fn for_writer(self: Arc<Self>, _under_way: usize) -> Arc<dyn OrderStore> {
            self
        }

        fn load(&self, _order_id: &OrderId) -> BoxFuture<'static, Result<Option<Order>, StoreError>> {
            pending().boxed()
        }

        fn commit(&self, _batch: Vec<Arc<Commit>>) -> BoxFuture<'static, Result<Vec<Committed>, StoreError>> {
            pending().boxed()
        }

        fn answered(
            &self,
            _deliveries: Vec<DeliveryId>,
        ) -> BoxFuture<'static, Result<HashSet<DeliveryId>, StoreError>> {
            pending().boxed()
        }

        fn record_answers(&self, _answers: Vec<Answered>) -> BoxFuture<'static, Result<(), StoreError>> {
            pending().boxed()
        }
    }

    #[test]
    fn a_transaction_that_is_given_up_has_failed_in_passing() {
        let stats = Arc::<CommitStats>::default();
        let store = MeasuredStore::new(Arc::new(NoEnd), Arc::clone(&stats));
        let mut committing = store.commit(Vec::new());
        assert!((&mut committing).now_or_never().is_none());
        assert_eq!((stats.in_flight(), stats.counts().failed), (1, 0));
        drop(committing);
        assert_eq!((stats.in_flight(), stats.counts().failed), (0, 1));
    }
}
