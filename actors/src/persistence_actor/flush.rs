//! One flush: from a batch to an answer for everybody in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{NoticesWritten, Pending};
use crate::admission::Admission;
use crate::error::DeliverError;
use crate::mailbox::Working;
use crate::metrics;
use crate::ports::{Commit, Committed, OrderStore, StoreError};

type Reply = oneshot::Sender<Result<Committed, DeliverError>>;

/// A commit whose transaction is under way.
struct Sent {
    commit: Arc<Commit>,
    reply: Reply,
    working: Working,
}

impl Sent {
    /// The place in the mailbox is free before the caller can send its next commit.
    fn answer(self, result: Result<Committed, DeliverError>) {
        drop(self.working);
        // Nobody listens when the order's actor has died; the database knows the outcome.
        let _ = self.reply.send(result);
    }
}

/// What a flush needs of the outside.
pub(super) struct Outside {
    pub(super) store: Arc<dyn OrderStore>,
    pub(super) notices_written: NoticesWritten,
    pub(super) admission: Arc<Admission>,
    pub(super) patience: Duration,
}

/// The pause before a batch that failed in passing is sent again, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(320);

/// Commits a batch. What is past its deadline is dropped before it is sent (invariant 5); a row that
/// cannot be stored is separated from the others and fails alone; a failure that passes is tried
/// again as long as a deadline allows, by time and not by count.
pub(super) async fn flush(outside: &Outside, batch: Vec<Pending>) {
    let batch = batch
        .into_iter()
        .map(|pending| Sent {
            commit: pending.commit,
            reply: pending.reply,
            working: pending.waiting.begin(),
        })
        .collect::<Vec<_>>();
    let mut told = false;
    let together = batch.len();
    let mut parts = vec![batch];
    while let Some(part) = parts.pop() {
        if part.len() == 1 && together > 1 {
            ::metrics::counter!(metrics::COMMIT_ROWS_ISOLATED_TOTAL).increment(1);
        }
        told |= commit_part(outside, part, &mut parts).await;
    }
    if told {
        (outside.notices_written)();
    }
}

/// Commits one part and returns whether it left notices for the sender. A part that holds a row
/// that cannot be stored goes back in halves.
async fn commit_part(outside: &Outside, mut part: Vec<Sent>, parts: &mut Vec<Vec<Sent>>) -> bool {
    let mut pause = FIRST_PAUSE;
    loop {
        drop_expired(&mut part);
        if part.is_empty() {
            return false;
        }
        let started = Instant::now();
        let last_deadline = part.iter().map(|sent| sent.commit.deadline).fold(started, Instant::max);
        let give_up_at = last_deadline + outside.patience;
        let commits = part.iter().map(|sent| Arc::clone(&sent.commit)).collect();
        let committing = tokio::time::timeout_at(give_up_at.into(), outside.store.commit(commits));
        let Ok(result) = committing.await else {
            let request_ids = request_ids(&part);
            tracing::error!(
                rows = part.len(),
                request_ids,
                "a batch is given up: the database never answered"
            );
            for sent in part {
                // The order is loaded again, and the version decides.
                sent.answer(Err(DeliverError::Deadline));
            }
            return false;
        };
        match result {
            Ok(committed) => {
                outside.admission.transaction_committed();
                ::metrics::histogram!(metrics::COMMIT_SECONDS).record(started.elapsed());
                record_rows(part.len());
                return answer_all(part, committed);
            }
            Err(StoreError::Data(cause)) if part.len() > 1 => {
                tracing::debug!(rows = part.len(), %cause, "splitting a batch that holds a row that cannot be stored");
                let second = part.split_off(part.len() / 2);
                parts.push(second);
                parts.push(part);
                return false;
            }
            Err(StoreError::Data(cause)) => {
                for sent in part {
                    let delivery_id = sent.commit.arrival.delivery_id;
                    let request_id = sent.commit.arrival.request_id();
                    tracing::error!(request_id, %delivery_id, %cause, "an event cannot be stored; SM will repeat it");
                    ::metrics::counter!(metrics::COMMITS_UNSTORABLE_TOTAL).increment(1);
                    sent.answer(Err(DeliverError::Unstorable));
                }
                return false;
            }
            Err(StoreError::Unavailable(cause)) => {
                let request_ids = request_ids(&part);
                tracing::warn!(rows = part.len(), request_ids, %cause, "a batch was refused: the database is away");
                for sent in part {
                    sent.answer(Err(DeliverError::Unavailable));
                }
                return false;
            }
            Err(StoreError::Transient(cause)) => {
                let request_ids = request_ids(&part);
                tracing::warn!(rows = part.len(), request_ids, %cause, "a batch did not finish and is sent again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

/// What finds the lines of a batch's hooks from the line of its failure: the id that nginx gave each
/// request, or the id of the arrival when there was none.
fn request_ids(part: &[Sent]) -> String {
    let ids = part.iter().map(|sent| match &sent.commit.arrival.request_id {
        Some(request_id) => request_id.clone(),
        None => sent.commit.arrival.delivery_id.to_string(),
    });
    ids.collect::<Vec<_>>().join(" ")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a batch has far fewer rows than a float has exact integers"
)]
fn record_rows(rows: usize) {
    ::metrics::histogram!(metrics::COMMIT_ROWS).record(rows as f64);
}

fn drop_expired(part: &mut Vec<Sent>) {
    let now = Instant::now();
    for expired in part.extract_if(.., |sent| sent.commit.deadline <= now) {
        expired.answer(Err(DeliverError::Deadline));
    }
}

fn answer_all(part: Vec<Sent>, committed: Vec<Committed>) -> bool {
    let mut told = false;
    for (sent, committed) in part.into_iter().zip(committed) {
        told |= sent.commit.notice.is_some() && matches!(committed, Committed::Stored { .. });
        sent.answer(Ok(committed));
    }
    told
}
