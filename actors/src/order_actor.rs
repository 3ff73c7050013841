//! One active order: all its events pass through this actor, one at a time.
//!
//! The actor is a cache of its row. It judges an event by the state it holds, asks the persistence
//! actor to make the result durable, and only then takes the next state as its own and answers.
//! Several nodes may hold an actor for the same order; the version decides, and the loser loads the
//! row and judges again.

mod judge;

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::{Actor, ActorFutureExt, AtomicResponse, Context, Handler, WrapFuture};
use chrono::{DateTime, Utc};
use orderhook_domain::apply::{Note, Outcome, Rules};
use orderhook_domain::event::Delivery;
use orderhook_domain::ids::{OrderId, OrderNumber};
use orderhook_domain::order::Order;
use tokio::sync::oneshot;

use crate::answers_actor::AnswersHandle;
use crate::error::DeliverError;
use crate::mailbox::{Command, Envelope};
use crate::persistence_actor::PersistenceHandle;
use crate::ports::{Arrival, OrderStore};

/// What every order actor needs of the outside.
pub(crate) struct OrderContext {
    pub(crate) store: Arc<dyn OrderStore>,
    pub(crate) persistence: PersistenceHandle,
    pub(crate) answers: AnswersHandle,
    pub(crate) rules: Rules,
    /// Orders whose actors may leave the memory at once.
    pub(crate) finished: FinishedOrders,
}

/// The orders with whose actors nothing more is likely to be done, so that nobody has to look through all of
/// them. One may stand here twice, or have gone on since.
#[derive(Debug, Default)]
pub(crate) struct FinishedOrders(Mutex<Vec<OrderId>>);

impl FinishedOrders {
    fn push(&self, id: OrderId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    /// Those since the last call.
    pub(crate) fn take(&self) -> Vec<OrderId> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The event is durable; this is what SM is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// What was decided.
    pub outcome: Outcome,
    /// What the history says beside the outcome.
    pub notes: Vec<Note>,
    /// The partner's number, when the order has a document.
    pub number: Option<OrderNumber>,
    /// When the store will have picked it, when the order has a document.
    pub assembly_due_at: Option<DateTime<Utc>>,
}

/// A hook on its way to its order.
#[derive(Debug, Clone)]
pub struct Hook {
    /// What is judged.
    pub delivery: Arc<Delivery>,
    /// What is kept of it.
    pub arrival: Arc<Arrival>,
    /// From then on it is not sent to the database any more, and answered 503.
    pub deadline: Instant,
}

/// What an order actor receives.
#[derive(Debug)]
pub(crate) enum OrderCommand {
    /// Judge this and make it durable.
    Deliver {
        hook: Hook,
        reply: oneshot::Sender<Result<Acknowledged, DeliverError>>,
    },
}

impl Command for OrderCommand {
    const MESSAGES: &'static [&'static str] = &["deliver"];

    fn message(&self) -> usize {
        0
    }
}

/// What the registry must know of an actor without asking it.
#[derive(Debug)]
pub(crate) struct Activity {
    started: Instant,
    last_used_millis: AtomicU64,
    finished: AtomicBool,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            last_used_millis: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        })
    }

    fn used(&self, finished: bool) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_used_millis.store(millis, Ordering::Relaxed);
        self.finished.store(finished, Ordering::Relaxed);
    }

    /// Whether the actor's order is closed for good, or the actor knows nothing of it.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// Whether nothing has come for so long.
    pub(crate) fn is_idle(&self, idle: Duration) -> bool {
        let last_used = Duration::from_millis(self.last_used_millis.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last_used) >= idle
    }
}

/// See the module.
pub(crate) struct OrderActor {
    id: OrderId,
    context: Arc<OrderContext>,
    activity: Arc<Activity>,
    /// The row as last committed by this actor; `None` when it must be loaded.
    order: Option<Arc<Order>>,
}

impl OrderActor {
    pub(crate) const fn new(id: OrderId, context: Arc<OrderContext>, activity: Arc<Activity>) -> Self {
        Self {
            id,
            context,
            activity,
            order: None,
        }
    }
}

impl Actor for OrderActor {
    type Context = Context<Self>;
}

impl Handler<Envelope<OrderCommand>> for OrderActor {
    /// Atomic: nothing else of this actor runs until the event is durable or has failed.
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, envelope: Envelope<OrderCommand>, _context: &mut Self::Context) -> Self::Result {
        let (OrderCommand::Deliver { hook, reply }, waiting) = envelope.open();
        let working = waiting.begin();
        let context = Arc::clone(&self.context);
        let id = self.id.clone();
        let known = self.order.take();
        let judging = async move { judge::judge(&context, id, known, &hook).await };
        AtomicResponse::new(Box::pin(judging.into_actor(self).map(
            move |(order, result), actor, _context| {
                // That there is no row yet is no state to keep: an event that changes nothing has no
                // version that would fence it, so it must always be judged by a fresh look.
                let order = order.filter(|order| order.version > 0);
                let finished = order.as_ref().is_none_or(|order| order.finished());
                actor.activity.used(finished);
                actor.order = order;
                // The place in the mailbox is free before the caller can send the next event, and before the
                // actor is asked whether it may retire.
                drop(working);
                if finished {
                    actor.context.finished.push(actor.id.clone());
                }
                // Nobody listens when the caller has gone away; the event is durable all the same.
                let _ = reply.send(result);
            },
        )))
    }
}
