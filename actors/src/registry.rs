//! Finds, starts and retires order actors: at most one live actor per order in a process.
//!
//! The map never leaves this file, and no guard of it lives across an await.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use orderhook_domain::ids::OrderId;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::error::DeliverError;
use crate::mailbox::{Handle, MailboxStats, Refused};
use crate::metrics;
use crate::order_actor::{Acknowledged, Activity, Hook, OrderActor, OrderCommand, OrderContext};

/// How order actors live.
#[derive(Debug, Clone, Copy)]
pub struct OrderSettings {
    /// Events that may wait for one order, the one under way included.
    pub queue: usize,
    /// An actor to which nothing has come for so long retires.
    pub idle: Duration,
}

impl Default for OrderSettings {
    fn default() -> Self {
        Self {
            queue: 128,
            idle: Duration::from_secs(600),
        }
    }
}

/// How others reach orders. Cheap to clone.
#[derive(Clone)]
pub struct OrderRegistry(Arc<Inner>);

struct Inner {
    orders: DashMap<OrderId, Entry>,
    count: AtomicUsize,
    context: Arc<OrderContext>,
    settings: OrderSettings,
    arbiters: Vec<actix_rt::ArbiterHandle>,
    stats: Arc<MailboxStats>,
    stopping: AtomicBool,
}

#[derive(Clone)]
struct Entry {
    handle: Handle<OrderActor>,
    activity: Arc<Activity>,
}

/// An order whose events wait, for operations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BusyOrder {
    /// Which order.
    pub order_id: OrderId,
    /// Events that wait or are being judged.
    pub depth: usize,
    /// How long the event under way has been under way, in milliseconds: those behind it wait.
    pub standing_millis: u64,
}

/// A hook is given to so many actors in turn when each dies of it; then the fault is in the event.
const MAX_LOST_ACTORS: u32 = 2;

impl OrderRegistry {
    pub(crate) fn new(
        context: Arc<OrderContext>,
        settings: OrderSettings,
        arbiters: Vec<actix_rt::ArbiterHandle>,
        stats: Arc<MailboxStats>,
    ) -> Self {
        Self(Arc::new(Inner {
            orders: DashMap::new(),
            count: AtomicUsize::new(0),
            context,
            settings,
            arbiters,
            stats,
            stopping: AtomicBool::new(false),
        }))
    }

    /// Hands a hook to its order and waits until it is durable, at most until its deadline. The work
    /// goes on when the returned future is dropped.
    ///
    /// # Errors
    /// [`DeliverError`] by the answer it needs.
    pub async fn deliver(&self, hook: Hook) -> Result<Acknowledged, DeliverError> {
        let deadline = hook.deadline;
        let waiting = tokio::time::timeout_at(deadline.into(), self.deliver_in_any_time(hook));
        waiting.await.unwrap_or(Err(DeliverError::Deadline))
    }

    async fn deliver_in_any_time(&self, hook: Hook) -> Result<Acknowledged, DeliverError> {
        let id = &hook.delivery.event.order_id;
        let mut lost = 0;
        loop {
            if self.0.stopping.load(Ordering::Acquire) {
                return Err(DeliverError::Stopping);
            }
            let entry = self.find_or_start(id);
            let (reply, answer) = oneshot::channel();
            match entry.handle.send(OrderCommand::Deliver {
                hook: hook.clone(),
                reply,
            }) {
                Ok(()) => match answer.await {
                    Ok(result) => return result,
                    // The actor died with this hook inside, perhaps after its transaction was sent.
                    // A new actor settles that: what is stored already is answered as such.
                    Err(_closed) => {
                        self.evict(id, &entry, "lost");
                        lost += 1;
                        let request_id = hook.arrival.request_id();
                        tracing::error!(request_id, order_id = id.as_str(), lost, "an order actor died");
                        if lost == MAX_LOST_ACTORS {
                            return Err(DeliverError::Unstorable);
                        }
                    }
                },
                Err(Refused::Full(_)) => return Err(DeliverError::Busy),
                Err(Refused::Closed(_)) => self.evict(id, &entry, "lost"),
            }
        }
    }

    fn find_or_start(&self, id: &OrderId) -> Entry {
        if let Some(entry) = self.0.orders.get(id).map(|entry| entry.clone()) {
            return entry;
        }
        // Starting only queues the construction, so that nothing inside touches the map again.
        self.0
            .orders
            .entry(id.clone())
            .or_insert_with(|| self.start(id))
            .clone()
    }

    fn start(&self, id: &OrderId) -> Entry {
        let inner = &self.0;
        // The thread of the persistence actor that the order will need.
        let lane = inner.context.persistence.lane_of(id.as_str());
        let arbiter = &inner.arbiters[lane % inner.arbiters.len()];
        let activity = Activity::new();
        let actor = OrderActor::new(id.clone(), Arc::clone(&inner.context), Arc::clone(&activity));
        let handle = Handle::start(arbiter, inner.settings.queue, &inner.stats, |_| actor);
        inner.count.fetch_add(1, Ordering::Relaxed);
        ::metrics::counter!(metrics::ORDER_ACTORS_TOTAL, "event" => "started").increment(1);
        Entry { handle, activity }
    }

    /// Takes exactly this actor out of the map; a newer one of the same order stays.
    fn evict(&self, id: &OrderId, dead: &Entry, event: &'static str) {
        if self
            .0
            .orders
            .remove_if(id, |_, entry| entry.handle.is_same(&dead.handle))
            .is_some()
        {
            self.0.count.fetch_sub(1, Ordering::Relaxed);
            ::metrics::counter!(metrics::ORDER_ACTORS_TOTAL, "event" => event).increment(1);
        }
    }

    /// Retires the actors whose orders were closed for good or turned out unknown since the last call, and those
    /// whose event failed; returns how many.
    pub fn retire_finished(&self) -> usize {
        let finished = self.0.context.finished.take();
        let retired = finished.iter().filter(|id| {
            let entry = self.0.orders.get(*id).map(|entry| entry.clone());
            entry.is_some_and(|entry| entry.activity.is_finished() && self.retire(id, &entry))
        });
        retired.count()
    }

    /// Retires the actors to which nothing has come for long, and returns how many. Walks all orders.
    pub fn retire_idle(&self) -> usize {
        let idle = self.0.settings.idle;
        // Collected first: the map must not be changed while it is walked.
        let candidates: Vec<(OrderId, Entry)> = self
            .0
            .orders
            .iter()
            .filter(|entry| entry.activity.is_idle(idle))
            .map(|entry| (entry.key().clone(), entry.value().clone()))
            .collect();
        candidates.iter().filter(|(id, entry)| self.retire(id, entry)).count()
    }

    /// An event that is on its way keeps its actor: a gate closes only when nothing is inside, and whoever finds
    /// it closed starts the next actor.
    fn retire(&self, id: &OrderId, entry: &Entry) -> bool {
        let retired = entry.handle.gate().close_if_empty();
        if retired {
            self.evict(id, entry, "retired");
        }
        retired
    }

    /// Order actors alive.
    #[must_use]
    pub fn active(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// The orders with the deepest queues, deepest first, at most `deepest` of them; then those of the others
    /// whose event has been under way the longest, at most `longest`: one that stands still with little
    /// behind it must not be hidden by ten busy ones. Walks all orders.
    #[must_use]
    pub fn busiest(&self, deepest: usize, longest: usize) -> Vec<BusyOrder> {
        let mut busy: Vec<BusyOrder> = self
            .0
            .orders
            .iter()
            .filter_map(|entry| {
                let gate = entry.value().handle.gate();
                let depth = gate.depth();
                (depth > 0).then(|| BusyOrder {
                    order_id: entry.key().clone(),
                    depth,
                    standing_millis: u64::try_from(gate.standing().as_millis()).unwrap_or(u64::MAX),
                })
            })
            .collect();
        pick(&mut busy, deepest, longest);
        busy
    }

    /// From now on every hook is refused with [`DeliverError::Stopping`].
    pub(crate) fn stop_admitting(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }
}

/// Leaves the deepest, and of the others those that have stood the longest.
fn pick(busy: &mut Vec<BusyOrder>, deepest: usize, longest: usize) {
    let by_id = |one: &BusyOrder, other: &BusyOrder| one.order_id.cmp(&other.order_id);
    busy.sort_by(|one, other| other.depth.cmp(&one.depth).then_with(|| by_id(one, other)));
    let mut others = busy.split_off(deepest.min(busy.len()));
    others.sort_by(|one, other| {
        let longer = other.standing_millis.cmp(&one.standing_millis);
        longer.then_with(|| by_id(one, other))
    });
    others.truncate(longest);
    busy.append(&mut others);
}

#[cfg(test)]
mod tests;
