//! Group commit: what has gathered while the last transaction ran becomes the next one.
//!
//! No timer gathers them. A commit that finds no flush running starts one at once; under load the batches
//! grow by themselves. While one flush runs another follows it only when enough has gathered for it to be
//! worth its price, so that neither PostgreSQL nor this process waits for the other. Only behind a lone commit
//! the next follows at once, where transactions are quick: PostgreSQL can begin it without having to answer first.
//! Where they are slow (a standby confirms them, a disk takes its time) that saves little, and whoever comes after
//! it would wait for one transaction more. An order always goes to the same actor, and waits for its commit there,
//! so that a batch never holds two commits of one order.

mod fair_queue;
mod flush;

use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::{Actor, Context, Handler};
use futures_util::FutureExt;
use orderhook_domain::event::EventKind;
use orderhook_domain::ids::StoreId;
use tokio::sync::oneshot;

use crate::admission::{Admission, Importance, StoreAdmission};
use crate::error::DeliverError;
use crate::mailbox::{Command, Envelope, Handle, MailboxStats, Refused, Waiting};
use crate::ports::{Commit, Committed, OrderStore};
use fair_queue::FairQueue;

/// How much may gather.
#[derive(Debug, Clone, Copy)]
pub struct PersistenceSettings {
    /// How many actors share the work.
    pub actors: usize,
    /// The most transactions of one actor that are under way at once.
    pub under_way: usize,
    /// How many commits must wait for another transaction to be sent, for each that is under way; one when a lone
    /// commit is all that is under way and transactions are quick.
    pub further_batch_rows: usize,
    /// A transaction that takes no longer is quick. A pause of a round trip is then as dear as the company of those
    /// who would come in the meantime.
    pub quick: Duration,
    /// Commits that may wait in one actor; beyond that a hook is refused.
    pub queue: usize,
    /// The most commits in one transaction: those who come next wait for it.
    pub batch_rows: usize,
    /// The most bytes of bodies in one transaction, so that orders of hundreds of lines do not hold up others.
    pub batch_bytes: usize,
    /// A transaction that was sent runs to its end. When that has not come so long after the last deadline of its
    /// hooks it is given up: their orders must not stand still for ever.
    pub patience: Duration,
}

impl Default for PersistenceSettings {
    fn default() -> Self {
        Self {
            actors: 2,
            under_way: 3,
            further_batch_rows: 32,
            quick: Duration::from_micros(600),
            queue: 16_384,
            batch_rows: 128,
            batch_bytes: 1 << 20,
            patience: Duration::from_secs(8),
        }
    }
}

/// Called when a transaction has left notices for the sender.
pub type NoticesWritten = Arc<dyn Fn() + Send + Sync>;

/// Where the end of a commit is waited for.
type Answer = oneshot::Receiver<Result<Committed, DeliverError>>;

/// How others reach the persistence actors.
#[derive(Clone)]
pub struct PersistenceHandle {
    actors: Arc<[Handle<PersistenceActor>]>,
    hasher: RandomState,
}

impl PersistenceHandle {
    /// Starts the actors, spread over the arbiters.
    pub fn start(
        arbiters: &[actix_rt::ArbiterHandle],
        settings: PersistenceSettings,
        store: &Arc<dyn OrderStore>,
        notices_written: &NoticesWritten,
        stats: &Arc<MailboxStats>,
        admission: &Arc<Admission>,
    ) -> Self {
        let actors = arbiters
            .iter()
            .cycle()
            .take(settings.actors)
            .map(|arbiter| {
                let outside = flush::Outside {
                    store: Arc::clone(store).for_writer(settings.under_way),
                    notices_written: Arc::clone(notices_written),
                    admission: Arc::clone(admission),
                    patience: settings.patience,
                };
                let lane = Arc::new(Lane {
                    settings,
                    outside,
                    stores: StoreAdmission::new(Arc::clone(admission)),
                    gathered: Mutex::default(),
                });
                Handle::start(arbiter, settings.queue, stats, move |_| PersistenceActor { lane })
            })
            .collect();
        Self {
            actors,
            hasher: RandomState::new(),
        }
    }

    /// Which of the actors makes this order's events durable: always the same one. The arbiter with this
    /// number is its own, counted round (see [`PersistenceHandle::start`]): who lives there, too, reaches it
    /// without waking another thread.
    pub(crate) fn lane_of(&self, order_id: &str) -> usize {
        let spread = usize::try_from(self.hasher.hash_one(order_id) >> 1).unwrap_or_default();
        spread % self.actors.len().max(1)
    }

    /// Makes one event durable. It is on its way when this returns, and the work goes on when the returned future,
    /// which only waits for its end, is dropped.
    ///
    /// # Errors
    /// [`DeliverError`]; except for [`DeliverError::Busy`] and [`DeliverError::Unstorable`] the event
    /// may yet turn out to be stored.
    pub fn commit(&self, commit: Commit) -> impl Future<Output = Result<Committed, DeliverError>> + use<> {
        let sent = self.send(commit);
        async move { sent?.await.unwrap_or(Err(DeliverError::Stopping)) }
    }

    fn send(&self, commit: Commit) -> Result<Answer, DeliverError> {
        let key = commit
            .arrival
            .order_id
            .as_ref()
            .map_or("", |order_id| order_id.as_str());
        let Some(actor) = self.actors.get(self.lane_of(key)) else {
            return Err(DeliverError::Stopping);
        };
        let (reply, answer) = oneshot::channel();
        let commit = Arc::new(commit);
        match actor.send(PersistenceCommand::Commit { commit, reply }) {
            Ok(()) => Ok(answer),
            Err(Refused::Full(_)) => Err(DeliverError::Busy),
            Err(Refused::Closed(_)) => Err(DeliverError::Stopping),
        }
    }
}

/// What the persistence actor receives.
#[derive(Debug)]
pub enum PersistenceCommand {
    /// Make this durable and say what became of it.
    Commit {
        /// The event and its effects.
        commit: Arc<Commit>,
        /// Where the answer goes; nobody may be listening any more.
        reply: oneshot::Sender<Result<Committed, DeliverError>>,
    },
}

impl Command for PersistenceCommand {
    const MESSAGES: &'static [&'static str] = &["commit"];

    fn message(&self) -> usize {
        0
    }
}

/// One writer. See the module.
pub struct PersistenceActor {
    lane: Arc<Lane>,
}

/// What an actor shares with its transactions.
///
/// They are tasks of the runtime and not of the actor: hooks, actors and connections of callers take turns on a
/// thread, and in a flood a turn comes after thousands of others. Were a transaction among them, PostgreSQL
/// would wait for it longer than it works. All live on one thread, so that nobody ever waits for the lock.
struct Lane {
    settings: PersistenceSettings,
    outside: flush::Outside,
    stores: StoreAdmission,
    gathered: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    queue: FairQueue<Pending>,
    /// Transactions under way.
    flushing: usize,
    /// The commits in them.
    flushing_rows: usize,
    /// How long the last transaction took that began when no other was under way; those behind another one wait
    /// for it, too. `None` before the first.
    last_took: Option<Duration>,
    /// When the log was told last of a store that is refused.
    told_at: Option<Instant>,
}

impl Gathered {
    /// Once a second: hooks come by the thousand, and each has its own line as well.
    fn tell_of_refused(&mut self, store_id: Option<&StoreId>, waited: Duration) {
        if self.told_at.is_some_and(|told| told.elapsed() < Duration::from_secs(1)) {
            return;
        }
        self.told_at = Some(Instant::now());
        tracing::warn!(
            store_id = store_id.map(StoreId::as_str),
            ?waited,
            "a store sends more than its share: what comes of it is refused"
        );
    }
}

/// What becomes one transaction.
struct Batch {
    commits: Vec<Pending>,
    /// Since when, if no other was under way.
    alone_since: Option<Instant>,
}

/// A commit that waits for its transaction. It keeps its place in the mailbox until it is answered.
struct Pending {
    commit: Arc<Commit>,
    reply: oneshot::Sender<Result<Committed, DeliverError>>,
    waiting: Waiting,
}

impl Actor for PersistenceActor {
    type Context = Context<Self>;
}

impl Handler<Envelope<PersistenceCommand>> for PersistenceActor {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<PersistenceCommand>, _context: &mut Self::Context) {
        let (PersistenceCommand::Commit { commit, reply }, waiting) = envelope.open();
        let order = commit.order.as_ref();
        let store_id = order.and_then(|order| order.document.as_ref().map(|document| document.store_id.clone()));
        let mut gathered = self.lane.gathered();
        let left_behind = gathered.queue.left_behind(&store_id);
        if let Some(waited) = left_behind.map(|oldest| oldest.waiting.waited())
            && let Err(error) = self.lane.admit(&commit, waited)
        {
            gathered.tell_of_refused(store_id.as_ref(), waited);
            // The place in the mailbox is free before the caller can send its next commit.
            waiting.turn_away();
            // Nobody listens when the order's actor has died.
            let _ = reply.send(Err(error));
            return;
        }
        gathered.queue.push(store_id, Pending { commit, reply, waiting });
        drop(gathered);
        if let Some(batch) = self.lane.next_batch() {
            tokio::spawn(Arc::clone(&self.lane).write(batch));
        }
    }
}

impl Lane {
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One transaction, and those for which enough has gathered meanwhile.
    async fn write(self: Arc<Self>, batch: Batch) {
        let mut next = Some(batch);
        while let Some(Batch { commits, alone_since }) = next {
            let rows = commits.len();
            let flushing = AssertUnwindSafe(flush::flush(&self.outside, commits)).catch_unwind();
            if flushing.await.is_err() {
                // Its hooks are answered as by an actor that died; those who wait go on.
                tracing::error!("a group commit panicked");
            }
            self.ended(rows, alone_since);
            next = self.next_batch();
        }
    }

    /// A transaction with so many commits has ended.
    fn ended(&self, rows: usize, alone_since: Option<Instant>) {
        let mut gathered = self.gathered();
        gathered.flushing -= 1;
        gathered.flushing_rows -= rows;
        if let Some(since) = alone_since {
            gathered.last_took = Some(since.elapsed());
        }
    }

    /// What has gathered, if a transaction may start now.
    fn next_batch(&self) -> Option<Batch> {
        let mut gathered = self.gathered();
        let is_quick = || gathered.last_took.is_some_and(|took| took <= self.settings.quick);
        let worth_it = match gathered.flushing_rows {
            0 => 1,
            1 if is_quick() => 1,
            _ => gathered.flushing * self.settings.further_batch_rows,
        };
        if gathered.flushing >= self.settings.under_way || gathered.queue.len() < worth_it.max(1) {
            return None;
        }
        let commits = self.take(&mut gathered.queue);
        let alone_since = (gathered.flushing == 0).then(Instant::now);
        gathered.flushing += 1;
        gathered.flushing_rows += commits.len();
        Some(Batch { commits, alone_since })
    }

    /// Whether a commit may wait behind one of its store that has waited so long.
    fn admit(&self, commit: &Commit, waited: Duration) -> Result<(), DeliverError> {
        if commit.arrival.replay.is_some() {
            // An operator asked for it, and waits longer than SM does.
            return Ok(());
        }
        let importance = match commit.arrival.kind {
            Some(EventKind::Created) => Importance::Created,
            _ => Importance::Other,
        };
        self.stores.admit(importance, waited)
    }

    fn take(&self, queue: &mut FairQueue<Pending>) -> Vec<Pending> {
        let mut bytes = 0;
        let mut batch = Vec::with_capacity(queue.len().min(self.settings.batch_rows));
        while let Some(next) = queue.front() {
            bytes += next.commit.arrival.body.len();
            let full = batch.len() == self.settings.batch_rows || bytes > self.settings.batch_bytes;
            if full && !batch.is_empty() {
                break;
            }
            batch.extend(queue.pop());
        }
        // A replay has more time than a hook, and says nothing of how long hooks wait.
        let hooks = batch.iter().filter(|pending| pending.commit.arrival.replay.is_none());
        if let Some(latest) = hooks.map(|pending| pending.commit.deadline).max() {
            self.outside.admission.transaction_begins(latest);
        }
        let left_behind = queue.transaction_filled().map(|pending| pending.waiting.waited());
        self.stores.transaction_begins(left_behind.max());
        batch
    }
}
