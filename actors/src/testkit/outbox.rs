//! An outbox in memory that keeps the port's promises, and breaks them when told to.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::DateTime;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orderhook_domain::ids::{OrderId, StoreId};
use orderhook_domain::notice::{Cancelled, Notice};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ports::{Outbox, OutboxError, Peek, RecentSend, Settled, SettledAs, WaitingNotice};

/// See the module. Cheap to clone; all clones are one outbox.
#[derive(Clone)]
pub struct MemoryOutbox {
    state: Arc<watch::Sender<Vec<Row>>>,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Default)]
struct Faults {
    epoch: i64,
    is_readonly: bool,
    gone: HashSet<i64>,
    claims: usize,
    most_found: usize,
    keeping_house_takes: Duration,
}

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id; rows are in the order of their ids.
    pub notice_id: i64,
    /// Where to.
    pub chat_id: i64,
    /// What became of it.
    pub state: RowState,
    /// How often it was claimed.
    pub attempts: i32,
    /// The last failure.
    pub last_error: Option<String>,
    /// When it was sent.
    pub sent_at: Option<Instant>,
    claimed_by: Option<i64>,
    not_before: Option<Instant>,
}

impl Row {
    /// Whether sending it again may repeat it.
    #[must_use]
    pub const fn may_have_been_sent(&self) -> bool {
        self.claimed_by.is_some()
    }
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    /// It waits or is being sent.
    Pending,
    /// It was sent.
    Sent,
    /// Its chat is gone.
    Failed,
}

impl Default for MemoryOutbox {
    /// Empty; the leader's epoch is 1.
    fn default() -> Self {
        Self {
            state: Arc::new(watch::channel(Vec::new()).0),
            faults: Arc::new(Mutex::new(Faults {
                epoch: 1,
                ..Faults::default()
            })),
        }
    }
}

impl MemoryOutbox {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        // A test that panicked while it held the lock has failed already.
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits so many notices for this chat.
    pub fn add(&self, chat_id: i64, count: usize) {
        self.state.send_modify(|rows| {
            for _ in 0..count {
                rows.push(Row {
                    notice_id: i64::try_from(rows.len()).unwrap_or(i64::MAX),
                    chat_id,
                    state: RowState::Pending,
                    attempts: 0,
                    last_error: None,
                    sent_at: None,
                    claimed_by: None,
                    not_before: None,
                });
            }
        });
    }

    /// Another epoch begins.
    pub fn set_epoch(&self, epoch: i64) {
        self.faults().epoch = epoch;
    }

    /// Whether claims and results are refused although reading works.
    pub fn set_readonly(&self, is_readonly: bool) {
        self.faults().is_readonly = is_readonly;
    }

    /// From now on putting the outbox right takes so long.
    pub fn slow_house(&self, takes: Duration) {
        self.faults().keeping_house_takes = takes;
    }

    /// How often claiming was asked for.
    #[must_use]
    pub fn claims(&self) -> usize {
        self.faults().claims
    }

    /// The most notices that one look found.
    #[must_use]
    pub fn most_found(&self) -> usize {
        self.faults().most_found
    }

    /// The rows as they are.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        self.state.borrow().clone()
    }

    /// Waits until the rows are like that, and returns them.
    pub async fn when(&self, mut are_so: impl FnMut(&[Row]) -> bool) -> Vec<Row> {
        let mut rows = self.state.subscribe();
        let seen = rows.wait_for(|rows| are_so(rows)).await;
        // The sender lives as long as this outbox.
        seen.map(|rows| rows.clone()).unwrap_or_default()
    }

    /// Waits until nothing waits any more, and returns the rows.
    pub async fn all_settled(&self) -> Vec<Row> {
        self.when(|rows| rows.iter().all(|row| row.state != RowState::Pending))
            .await
    }

    fn peek_now(&self, request: &Peek) -> Vec<WaitingNotice> {
        let now = Instant::now();
        let gone = self.faults().gone.clone();
        let mut by_chat = BTreeMap::<i64, Vec<Row>>::new();
        for row in self.rows() {
            let is_asked_for = !request.except_chats.contains(&row.chat_id) && !gone.contains(&row.chat_id);
            if row.state == RowState::Pending && is_asked_for {
                by_chat.entry(row.chat_id).or_default().push(row);
            }
        }
        let is_due = |row: &Row| row.not_before.is_none_or(|until| until <= now);
        let mut chats: Vec<Vec<Row>> = by_chat.into_values().filter(|rows| is_due(&rows[0])).collect();
        let turn = |chat_id| request.served_chats.iter().position(|served| *served == chat_id);
        chats.sort_by_key(|rows| (turn(rows[0].chat_id), rows[0].notice_id));
        let limit = |limit: i64| usize::try_from(limit).unwrap_or_default();
        chats.truncate(limit(request.chats));
        chats
            .into_iter()
            .flat_map(|rows| rows.into_iter().take(limit(request.per_chat)))
            .filter_map(waiting)
            .collect()
    }

    fn claim_now(&self, epoch: i64, chat_id: i64, notice_ids: &[i64]) -> Result<(), OutboxError> {
        let mut faults = self.faults();
        faults.claims += 1;
        if faults.is_readonly {
            return Err(OutboxError::Unavailable("a test said so".to_owned()));
        }
        let is_mine = faults.epoch == epoch;
        drop(faults);
        let mut claimed = Err(OutboxError::NotMine);
        self.state.send_if_modified(|rows| {
            let wanted = |row: &Row| notice_ids.contains(&row.notice_id);
            let waits = |row: &&Row| wanted(row) && row.state == RowState::Pending && row.chat_id == chat_id;
            let is_mine = is_mine && rows.iter().filter(waits).count() == notice_ids.len();
            if is_mine {
                claimed = Ok(());
                for row in rows.iter_mut().filter(|row| wanted(row)) {
                    row.claimed_by = Some(epoch);
                    row.attempts += 1;
                }
            }
            is_mine
        });
        claimed
    }

    fn settle_now(&self, settled: &Settled) {
        if matches!(settled.result, SettledAs::ChatGone { .. }) {
            self.faults().gone.insert(settled.chat_id);
        }
        self.state.send_modify(|rows| {
            for row in rows.iter_mut().filter(|row| row.state == RowState::Pending) {
                let is_mine = settled.notice_ids.contains(&row.notice_id) && row.claimed_by == Some(settled.epoch);
                let is_of_chat = row.chat_id == settled.chat_id;
                match &settled.result {
                    SettledAs::Sent { .. } if is_mine => {
                        (row.state, row.sent_at) = (RowState::Sent, Some(Instant::now()));
                    }
                    SettledAs::ProbablySent { error } if is_mine => {
                        (row.state, row.sent_at) = (RowState::Sent, Some(Instant::now()));
                        row.last_error = Some(error.clone());
                    }
                    SettledAs::Retry {
                        after,
                        error,
                        maybe_sent,
                    } if is_mine => {
                        row.not_before = Some(Instant::now() + *after);
                        row.claimed_by = row.claimed_by.filter(|_| *maybe_sent);
                        row.last_error = Some(error.clone());
                    }
                    SettledAs::ChatGone { error } if is_of_chat => {
                        row.state = RowState::Failed;
                        row.last_error = Some(error.clone());
                    }
                    SettledAs::ChatMoved { to } if is_of_chat => {
                        row.chat_id = *to;
                        row.claimed_by = None;
                    }
                    _ => {}
                }
            }
        });
    }
}

/// The facts do not matter here: every notice tells a cancellation of an order of its own.
fn waiting(row: Row) -> Option<WaitingNotice> {
    Some(WaitingNotice {
        notice_id: row.notice_id,
        chat_id: row.chat_id,
        order_id: OrderId::parse(&format!("H{}", row.notice_id)).ok()?,
        number: None,
        store_id: StoreId::parse("8001").ok()?,
        notice: Notice::Cancelled(Cancelled {
            reason: orderhook_domain::event::CancelReason::default(),
        }),
        created_at: DateTime::UNIX_EPOCH,
        waited: Duration::ZERO,
        attempts: row.attempts,
        maybe_sent: row.claimed_by.is_some(),
        first_message_id: None,
    })
}

impl Outbox for MemoryOutbox {
    fn peek(&self, request: Peek) -> BoxFuture<'static, Result<Vec<WaitingNotice>, OutboxError>> {
        let outbox = self.clone();
        async move {
            let found = outbox.peek_now(&request);
            let mut faults = outbox.faults();
            faults.most_found = faults.most_found.max(found.len());
            Ok(found)
        }
        .boxed()
    }

    fn claim(&self, epoch: i64, chat_id: i64, notice_ids: Vec<i64>) -> BoxFuture<'static, Result<(), OutboxError>> {
        let outbox = self.clone();
        async move { outbox.claim_now(epoch, chat_id, &notice_ids) }.boxed()
    }

    fn settle(&self, settled: Settled) -> BoxFuture<'static, Result<(), OutboxError>> {
        let outbox = self.clone();
        async move {
            if outbox.faults().is_readonly {
                return Err(OutboxError::Unavailable("a test said so".to_owned()));
            }
            outbox.settle_now(&settled);
            Ok(())
        }
        .boxed()
    }

    fn recent(&self) -> BoxFuture<'static, Result<Vec<RecentSend>, OutboxError>> {
        let outbox = self.clone();
        async move {
            let sent = outbox.rows().into_iter().filter_map(|row| {
                Some(RecentSend {
                    chat_id: row.chat_id,
                    ago: row.sent_at?.elapsed(),
                })
            });
            let mut recent: Vec<RecentSend> = sent.filter(|send| send.ago < Duration::from_secs(60)).collect();
            recent.dedup();
            Ok(recent)
        }
        .boxed()
    }

    fn keep_house(&self) -> BoxFuture<'static, Result<u64, OutboxError>> {
        let takes = self.faults().keeping_house_takes;
        async move {
            tokio::time::sleep(takes).await;
            Ok(0)
        }
        .boxed()
    }
}
