//! Group commit: what has gathered while the last transaction ran becomes the next one.
//!
//! There is no timer. A commit that finds no flush running starts one at once; under load the batches
//! grow by themselves. One flush runs at a time per actor, a few actors share the work, and an order
//! always goes to the same one, so that a batch never holds two commits of one order.

mod flush;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use tokio::sync::oneshot;

use crate::error::DeliverError;
use crate::mailbox::{Command, Envelope, Handle, MailboxStats, Refused, Waiting};
use crate::ports::{Commit, Committed, OrderStore};

/// How much may gather.
#[derive(Debug, Clone, Copy)]
pub struct PersistenceSettings {
    /// How many actors share the work; each has one transaction under way at most.
    pub actors: usize,
    /// Commits that may wait in one actor; beyond that a hook is refused.
    pub queue: usize,
    /// The most commits in one transaction.
    pub batch_rows: usize,
    /// The most bytes of bodies in one transaction.
    pub batch_bytes: usize,
}

impl Default for PersistenceSettings {
    fn default() -> Self {
        Self {
            actors: 2,
            queue: 4096,
            batch_rows: 256,
            batch_bytes: 8 << 20,
        }
    }
}

/// Called with the number of notices that a transaction left for the sender.
pub type NoticesWritten = Arc<dyn Fn(u32) + Send + Sync>;

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
    ) -> Self {
        let actors = arbiters
            .iter()
            .cycle()
            .take(settings.actors)
            .map(|arbiter| {
                let store = Arc::clone(store);
                let notices_written = Arc::clone(notices_written);
                Handle::start(arbiter, settings.queue, stats, move |_| PersistenceActor {
                    store,
                    settings,
                    notices_written,
                    queue: VecDeque::new(),
                    flushing: false,
                })
            })
            .collect();
        Self {
            actors,
            hasher: RandomState::new(),
        }
    }

    /// Makes one event durable. The work goes on when the returned future is dropped.
    ///
    /// # Errors
    /// [`DeliverError`]; except for [`DeliverError::Busy`] and [`DeliverError::Unstorable`] the event
    /// may yet turn out to be stored.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, DeliverError> {
        let key = commit
            .arrival
            .order_id
            .as_ref()
            .map_or("", |order_id| order_id.as_str());
        let spread = usize::try_from(self.hasher.hash_one(key) >> 1).unwrap_or_default();
        let Some(actor) = self.actors.get(spread % self.actors.len().max(1)) else {
            return Err(DeliverError::Stopping);
        };
        let (reply, answer) = oneshot::channel();
        match actor.send(PersistenceCommand::Commit {
            commit: Arc::new(commit),
            reply,
        }) {
            Ok(()) => answer.await.unwrap_or(Err(DeliverError::Stopping)),
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
    store: Arc<dyn OrderStore>,
    settings: PersistenceSettings,
    notices_written: NoticesWritten,
    queue: VecDeque<Pending>,
    flushing: bool,
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

    fn handle(&mut self, envelope: Envelope<PersistenceCommand>, context: &mut Self::Context) {
        let (PersistenceCommand::Commit { commit, reply }, waiting, _span) = envelope.open();
        self.queue.push_back(Pending { commit, reply, waiting });
        if !self.flushing {
            self.flush(context);
        }
    }
}

impl PersistenceActor {
    fn flush(&mut self, context: &mut Context<Self>) {
        let batch = self.take_batch();
        if batch.is_empty() {
            return;
        }
        self.flushing = true;
        let flush = flush::flush(Arc::clone(&self.store), batch, Arc::clone(&self.notices_written));
        context.spawn(flush.into_actor(self).map(|(), actor, context| {
            actor.flushing = false;
            actor.flush(context);
        }));
    }

    fn take_batch(&mut self) -> Vec<Pending> {
        let mut bytes = 0;
        let mut batch = Vec::with_capacity(self.queue.len().min(self.settings.batch_rows));
        while let Some(next) = self.queue.front() {
            bytes += next.commit.arrival.body.len();
            let full = batch.len() == self.settings.batch_rows || bytes > self.settings.batch_bytes;
            if full && !batch.is_empty() {
                break;
            }
            batch.extend(self.queue.pop_front());
        }
        batch
    }
}
